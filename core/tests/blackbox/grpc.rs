//! gRPC with a client and a service of another implementation: grpcio.

use std::net::SocketAddr;
use std::time::Duration;

use crate::faults::full_listener;
use crate::support::h2::{CANCEL, Peer, asking};
use crate::support::{Gateway, GrpcServer, H2Origin, Origin, Response, grpc_client, now, ok, proxying};

/// All cases of the client must pass at this address.
fn passes(address: SocketAddr, words: &[&str]) {
    let output = grpc_client(address, words).expect("the service runs on the same Python");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("ok unary"), "{said}");
}

#[test]
fn the_peers_understand_each_other_without_a_gateway() {
    let Some(server) = GrpcServer::start() else { return };
    passes(server.address(), &["check"]);
}

/// A call on HTTP/1.1, whose fields are those of HTTP/2.
fn call(path: &str, fields: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/grpc+proto\r\n{fields}\r\n")
}

/// The status of an answer that the gateway made, its message and its reason word.
fn told(response: &Response) -> (&str, &str, &str) {
    assert_eq!((response.status, response.body.len()), (200, 0), "{}", response.head);
    let field = |name| response.field(name).unwrap_or_default();
    (field("grpc-status"), field("grpc-message"), field("x-ringway-reason"))
}

#[test]
fn the_gateways_own_errors_are_statuses() {
    let origin = Origin::start(|visit| {
        visit.until_peer_leaves();
        visit.close();
    });
    let (_listener, full, _filling) = full_listener();
    let route = |name: &str, keys: &str| {
        format!("[routes.{name}]\nmatch = {{ path = \"/{name}\" }}\nupstream = \"{keys}\n")
    };
    let gateway = Gateway::start(&format!(
        "{}{}{}{}[routes.get]\nmatch = {{ path = \"/get\", methods = [\"GET\"] }}\nupstream = \"origin\"\n\
         [upstreams.origin]\nendpoints = [\"{}\"]\n[upstreams.nowhere]\nendpoints = [\"{}\"]\n\
         [upstreams.full]\nendpoints = [\"{full}\"]\nconnect_timeout = \"500ms\"\n",
        route("late", "origin\"\ntimeout = \"200ms\""),
        route("small", "origin\"\nmax_body = \"100B\""),
        route("refused", "nowhere\""),
        route("full", "full\""),
        origin.address(),
        Origin::nowhere(),
    ));
    for (path, fields, expected) in [
        ("/none", "Content-Length: 0\r\n", ("12", "Not found", "route.not_found")),
        ("/get", "Content-Length: 0\r\n", ("12", "Method not allowed", "route.method")),
        ("/late", "Content-Length: 0\r\n", ("4", "Upstream did not answer in time", "upstream.timeout")),
        ("/small", "Content-Length: 101\r\n", ("8", "Request body too large", "limit.body")),
        (
            "/refused",
            "Content-Length: 0\r\n",
            ("14", "Upstream refused the connection", "upstream.connect.refused"),
        ),
        (
            "/full",
            "Content-Length: 0\r\n",
            ("14", "Upstream did not accept in time", "upstream.connect.timeout"),
        ),
        (
            "/full",
            "Content-Length: 0\r\ngrpc-timeout: 100m\r\n",
            ("4", "Upstream did not answer in time", "upstream.timeout"),
        ),
    ] {
        let response = gateway.client().ask(call(path, fields));
        assert_eq!(told(&response), expected, "{path}");
        assert_eq!(response.field("content-type"), Some("application/grpc"), "{path}");
    }
    let web = call("/none", "Content-Length: 0\r\n").replace("grpc+proto", "grpc-web-text");
    let response = gateway.client().ask(web);
    assert_eq!(told(&response).0, "12");
    assert_eq!(response.field("content-type"), Some("application/grpc-web-text"));
    let json = call("/none", "Content-Length: 0\r\n").replace("grpc+proto", "grpcs");
    let response = gateway.client().ask(json);
    assert_eq!((response.status, response.reason().as_str()), (404, "route.not_found"));
}

#[test]
fn a_deadline_is_the_routes_timeout_and_what_is_left_is_told() {
    let origin = Origin::start(|visit| match visit.field("grpc-timeout") {
        Some(told) if visit.path() == "/told" => visit.send(ok(&told)),
        None => visit.send(ok("nothing")),
        Some(_) => visit.until_peer_leaves(),
    });
    let gateway = Gateway::start(&proxying(&origin).replace("[upstreams", "timeout = \"20s\"\n[upstreams"));
    let told = |timeout: &str| {
        let fields = format!("Content-Length: 0\r\ngrpc-timeout: {timeout}\r\n");
        gateway.client().ask(call("/told", &fields)).text().to_owned()
    };
    let micros = |text: String| -> u64 { text.strip_suffix('u').expect(&text).parse().unwrap() };
    let left = micros(told("10S"));
    assert!((5_000_000..=10_000_000).contains(&left), "{left} of 10 s are left");
    let left = micros(told("5H"));
    assert!((10_000_000..=20_000_000).contains(&left), "{left} of the route's 20 s are left");
    assert_eq!(told("soon"), "soon", "what is no timeout is the upstream's to judge");
    assert_eq!(gateway.client().ask(call("/told", "Content-Length: 0\r\n")).text(), "nothing");

    let began = now();
    let late = gateway.client().ask(call("/late", "Content-Length: 0\r\ngrpc-timeout: 200m\r\n"));
    assert_eq!(told_status(&late), ("4", "upstream.timeout"));
    let took = now() - began;
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(10), "{took:?}");
    let late = gateway.client().ask(call("/late", "Content-Length: 5\r\ngrpc-timeout: 200m\r\n"));
    assert_eq!(told_status(&late), ("4", "route.timeout.request"));

    let plain = "POST /told HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\ngrpc-timeout: 10S\r\n\r\n";
    assert_eq!(gateway.client().ask(plain).text(), "10S", "only a call has a deadline");
}

fn told_status(response: &Response) -> (&str, &str) {
    let (status, _, reason) = told(response);
    (status, reason)
}

/// A gateway between HTTP/2 on both sides, with these keys on its route.
fn between(endpoint: SocketAddr, keys: &str) -> Gateway {
    Gateway::start(&format!(
        "[routes.calls]\nmatch = {{ prefix = \"/\" }}\nupstream = \"service\"\n{keys}\n\
         [upstreams.service]\nendpoints = [\"{endpoint}\"]\nprotocol = \"http2\"\n"
    ))
}

#[test]
fn calls_of_all_kinds_pass() {
    let Some(server) = GrpcServer::start() else { return };
    let gateway = between(server.address(), "");
    passes(gateway.at(8080), &["check"]);
}

#[test]
fn another_implementation_reads_the_gateways_own_statuses() {
    // It is told when the time is over, too: one that says nothing cannot be faster to say so.
    let silent = H2Origin::start(|peer, _| while peer.request().is_some() {});
    let late = silent.proxying().replace("[upstreams", "timeout = \"500ms\"\n[upstreams");
    for (gateway, expected) in [
        (Gateway::start(&late), ("DEADLINE_EXCEEDED", "Upstream did not answer in time")),
        (between(Origin::nowhere().parse().unwrap(), ""), ("UNAVAILABLE", "Upstream refused the connection")),
    ] {
        let words = ["call", "/ringway.Test/Unary", "", "--timeout", "15"];
        let Some(output) = grpc_client(gateway.at(8080), &words) else { return };
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (said["code"].as_str(), said["details"].as_str()),
            (Some(expected.0), Some(expected.1)),
            "{said}"
        );
    }
}

/// A message of three bytes, `abc`.
const MESSAGE: &[u8] = b"\0\0\0\0\x03abc";

/// An origin that begins its answers with a message and does not end them. By their path they are cut, or late, or are
/// no calls' answers.
fn breaking() -> Origin {
    Origin::start(|visit| {
        let (kind, framing) = match visit.path() {
            "/html" => ("text/html", "Transfer-Encoding: chunked\r\n\r\n8\r\n"),
            "/length" => ("application/grpc", "Content-Length: 20\r\n\r\n"),
            _ => ("application/grpc+proto", "Transfer-Encoding: chunked\r\n\r\n8\r\n"),
        };
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}"));
        visit.send([MESSAGE, b"\r\n"].concat());
        if visit.path() == "/late" {
            visit.until_peer_leaves();
        }
        visit.close();
    })
}

#[test]
fn a_call_that_breaks_within_its_answer_ends_with_a_status() {
    let origin = breaking();
    let keys = "[routes.late]\nmatch = { path = \"/late\" }\nupstream = \"origin\"\ntimeout = \"1s\"\n";
    let gateway = Gateway::start(&(keys.to_owned() + &proxying(&origin)));
    let mut client = Peer::connect(gateway.at(8080));
    let mut call = |path: &str, kind: &str| {
        let stream = client.ask(&[asking("POST", path), vec![("content-type", kind)]].concat());
        client.outcome(stream)
    };
    for (path, status, message, reason) in [
        ("/late", "4", "Upstream did not finish in time", "upstream.timeout.body"),
        ("/cut", "14", "Upstream's answer ended early", "upstream.truncated"),
    ] {
        let answer = call(path, "application/grpc");
        assert_eq!((answer.reset, &answer.body[..]), (None, MESSAGE), "{path}");
        let [head, trailers] = &answer.heads[..] else { panic!("{answer:?}") };
        assert!(head.contains(&("content-type".into(), "application/grpc+proto".into())), "{head:?}");
        let told = [("grpc-status", status), ("grpc-message", message), ("x-ringway-reason", reason)];
        assert_eq!(*trailers, told.map(|(name, value)| (name.to_owned(), value.to_owned())));
        gateway.line_with(&[&format!("\"path\":\"{path}\""), &format!("\"reason\":\"{reason}\"")]);
    }
    for (path, kind) in
        [("/html", "application/grpc"), ("/length", "application/grpc"), ("/cut", "application/json")]
    {
        let answer = call(path, kind);
        assert!(answer.reset.is_some() && !answer.ended, "{path} as {kind} is cut: {answer:?}");
    }
    // A client of HTTP/1.1 sees the cut as it always does.
    let mut old = gateway.client();
    old.send(self::call("/cut", "Content-Length: 0\r\n"));
    old.try_response("POST").unwrap_err();
}

#[test]
fn a_stream_that_an_endpoint_gives_up_ends_with_a_status() {
    let origin = H2Origin::start(|peer, _| {
        while let Some((stream, _)) = peer.request_head() {
            peer.head(stream, &[(":status", "200"), ("content-type", "application/grpc")], 0);
            peer.data(stream, MESSAGE, 0);
            peer.reset(stream, CANCEL);
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = Peer::connect(gateway.at(8080));
    let fields = [asking("POST", "/"), vec![("content-type", "application/grpc")]].concat();
    // Its request has ended, or goes on.
    for ends in [0x1, 0] {
        let stream = client.open(&fields, ends);
        let answer = client.outcome(stream);
        let trailers = answer.heads.get(1).unwrap_or_else(|| panic!("{answer:?}"));
        assert!(trailers.contains(&("grpc-status".into(), "14".into())), "{trailers:?}");
    }
    assert_eq!(client.goaways, []);
}

#[test]
fn another_implementation_reads_a_status_within_an_answer() {
    let origin = breaking();
    let keys = "[routes.late]\nmatch = { path = \"/late\" }\nupstream = \"origin\"\ntimeout = \"1s\"\n";
    let gateway = Gateway::start(&(keys.to_owned() + &proxying(&origin)));
    for (method, code, details) in [
        ("/late", "DEADLINE_EXCEEDED", "Upstream did not finish in time"),
        ("/cut", "UNAVAILABLE", "Upstream's answer ended early"),
    ] {
        let words = ["call", method, "--timeout", "15"];
        let Some(output) = grpc_client(gateway.at(8080), &words) else { return };
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&said["code"], &said["details"]), (&code.into(), &details.into()), "{said}");
        assert_eq!(said["messages"], serde_json::json!(["abc"]), "{said}");
    }
}
