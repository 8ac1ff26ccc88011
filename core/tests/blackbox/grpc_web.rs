//! gRPC-web, as browsers write it, before a gRPC service of another implementation, and before one that is scripted.

use std::fmt::Write;

use crate::support::{Client, Gateway, GrpcServer, Origin, Response, eventually, proxying};

/// A gateway that translates for this endpoint.
fn translating(endpoint: impl std::fmt::Display, protocol: &str) -> Gateway {
    Gateway::start(&format!(
        "[routes.calls]\nmatch = {{ prefix = \"/\" }}\nupstream = \"service\"\ngrpc_web = true\nmax_body = \"1MB\"\n\
         [upstreams.service]\nendpoints = [\"{endpoint}\"]\nprotocol = \"{protocol}\"\n"
    ))
}

fn message(payload: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat()
}

/// The frame of trailers.
fn trailer(block: &str) -> Vec<u8> {
    [&[0x80], &u32::try_from(block.len()).unwrap().to_be_bytes()[..], block.as_bytes()].concat()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 by bits, written apart from the gateway's.
fn base64(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().fold(String::new(), |mut bits, byte| {
        write!(bits, "{byte:08b}").unwrap();
        bits
    });
    let digit = |six: &[u8]| {
        let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        char::from(ALPHABET[usize::from_str_radix(&six, 2).unwrap()])
    };
    let text: String = bits.as_bytes().chunks(6).map(digit).collect();
    let padding = (4 - text.len() % 4) % 4;
    text + &"=".repeat(padding)
}

/// The bytes of base64 whose pieces may each be padded.
fn unbase64(text: &str) -> Vec<u8> {
    let group = |four: &[u8]| {
        let said = four.iter().filter(|digit| **digit != b'=');
        let bits = said.fold(String::new(), |mut bits, digit| {
            let value = ALPHABET.iter().position(|known| known == digit).unwrap();
            write!(bits, "{value:06b}").unwrap();
            bits
        });
        let whole = bits.as_bytes().chunks_exact(8);
        whole
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(text.len() % 4, 0, "{text}");
    text.as_bytes().chunks(4).flat_map(group).collect()
}

fn call(client: &mut Client, method: &str, kind: &str, body: &[u8]) -> Response {
    let head = format!(
        "POST /ringway.Test/{method} HTTP/1.1\r\nHost: t\r\nContent-Type: application/{kind}+proto\r\n\
         X-Grpc-Web: 1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.ask([head.as_bytes(), body].concat())
}

#[test]
fn both_forms_reach_a_service_and_come_back() {
    let Some(server) = GrpcServer::start() else { return };
    let gateway = translating(server.address(), "http2");
    let mut client = gateway.client();
    let large: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    for payload in [&b""[..], b"a", b"ab", b"hello", &large] {
        let plain = call(&mut client, "Unary", "grpc-web", &message(payload));
        // grpcio names no format in its answers.
        assert_eq!(plain.field("content-type"), Some("application/grpc-web"));
        let expected = [message(payload), trailer("grpc-status: 0\r\n")].concat();
        assert_eq!(said(&plain.body), said(&expected), "{} bytes", payload.len());
        assert!(plain.trailers.is_empty(), "{:?}", plain.trailers);

        let text = call(&mut client, "Unary", "grpc-web-text", base64(&message(payload)).as_bytes());
        assert_eq!(text.field("content-type"), Some("application/grpc-web-text"));
        assert_eq!(said(&unbase64(text.text())), said(&expected), "{} bytes in base64", payload.len());
    }
    let failed = call(&mut client, "Fail", "grpc-web", &message(b"NOT_FOUND gone|2"));
    let (messages, block) = said(&failed.body);
    assert_eq!(messages.len(), 2);
    assert!(block.contains("grpc-status: 5\r\n") && block.contains("grpc-message: gone\r\n"), "{block}");
}

/// The messages of a body, and its trailers without what only says something about the connection.
fn said(mut body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let mut messages = Vec::new();
    while let Some((head, rest)) = body.split_first_chunk::<5>() {
        let length = usize::try_from(u32::from_be_bytes(head[1..].try_into().unwrap())).unwrap();
        let (payload, after) = rest.split_at(length);
        if head[0] & 0x80 != 0 {
            assert!(after.is_empty(), "trailers are the last frame");
            let lines = std::str::from_utf8(payload).unwrap().split_inclusive("\r\n");
            return (messages, lines.filter(|line| *line != "grpc-message: \r\n").collect());
        }
        messages.push(payload.to_vec());
        body = after;
    }
    panic!("no trailers behind {} messages", messages.len());
}

/// A service in HTTP/1.1: it answers with the body that it got and with trailers.
fn scripted() -> Origin {
    Origin::start(|visit| {
        assert_eq!(visit.field("content-type").unwrap(), "application/grpc+proto");
        let body = visit.body();
        visit.send(
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\
             Trailer: grpc-status\r\n\r\n",
        );
        for piece in body.chunks(7) {
            visit.send(format!("{:x}\r\n", piece.len()));
            visit.send(piece);
            visit.send("\r\n");
        }
        visit.send("0\r\nGrpc-Status: 3\r\n\r\n");
    })
}

#[test]
fn base64_is_read_in_pieces_and_what_is_none_is_refused() {
    let origin = scripted();
    let gateway = translating(origin.address(), "http1");
    let mut client = gateway.client();
    // Each piece has its own padding, and comes in chunks that divide groups.
    let text = base64(b"\0\0\0\0\x05") + &base64(b"hell") + &base64(b"o");
    let mut request = String::from(
        "POST /x HTTP/1.1\r\nHost: t\r\nContent-Type: application/grpc-web-text+proto\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    );
    for piece in text.as_bytes().chunks(3) {
        write!(request, "{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap()).unwrap();
    }
    let response = client.ask(request + "0\r\n\r\n");
    assert_eq!(origin.bodies(), [b"\0\0\0\0\x05hello"]);
    assert_eq!(unbase64(response.text()), [message(b"hello"), trailer("grpc-status: 3\r\n")].concat());

    for body in ["AA A", "AAAAA", "A==="] {
        let refused = call(&mut gateway.client(), "Unary", "grpc-web-text", body.as_bytes());
        assert_eq!((refused.status, refused.field("grpc-status")), (200, Some("13")), "{body}");
        assert_eq!(refused.field("x-ringway-reason"), Some("body.base64"), "{body}");
        assert_eq!(refused.field("content-type"), Some("application/grpc-web-text"), "{body}");
    }
    eventually("no attempt is left", || origin.open_connections() <= 1);
}

#[test]
fn what_is_not_asked_for_or_is_no_call_passes_as_it_is() {
    let origin = Origin::start(|visit| {
        let kind = visit.field("content-type").unwrap();
        let body = visit.body();
        visit.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{}",
            body.len(),
            String::from_utf8(body).unwrap()
        ));
    });
    let plain = Gateway::start(&proxying(&origin));
    let response = call(&mut plain.client(), "Unary", "grpc-web-text", b"no base64");
    assert_eq!(
        (response.text(), response.field("content-type")),
        ("no base64", Some("application/grpc-web-text+proto"))
    );
    let gateway = translating(origin.address(), "http1");
    let response = call(&mut gateway.client(), "Unary", "json", b"{}");
    assert_eq!((response.text(), response.field("content-type")), ("{}", Some("application/json+proto")));
}
