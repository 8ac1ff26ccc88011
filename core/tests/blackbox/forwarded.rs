//! Who the client is: forwarding fields, request ids, hop-by-hop fields, loops and the PROXY protocol.

use std::net::{IpAddr, Ipv4Addr};

use crate::support::{Client, Gateway, Origin, Response, field, proxying};

const TRUSTED: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

/// Everything to one origin, behind one trusted proxy.
fn behind_a_proxy(origin: &Origin) -> Gateway {
    Gateway::start(&format!(
        "{}\n[server]\nworkers = 1\ntrusted_proxies = [\"{TRUSTED}/32\"]\n",
        proxying(origin)
    ))
}

fn trusted(gateway: &Gateway) -> Client {
    Client::connect_from(IpAddr::V4(TRUSTED), gateway.at(8080))
}

/// A field of the request as the mirroring origin saw it.
fn seen(response: &Response, name: &str) -> Option<String> {
    let count =
        response.text().lines().filter(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:"))).count();
    assert!(count <= 1, "{name} occurs {count} times: {}", response.text());
    field(response.text(), name)
}

const FORGED: &str = "GET / HTTP/1.1\r\nHost: shop.example:81\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
                      X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Request-ID: forged\r\n\r\n";

#[test]
fn a_strangers_forwarding_fields_are_replaced() {
    let origin = Origin::mirror();
    let gateway = behind_a_proxy(&origin);
    let response = gateway.client().ask(FORGED);
    assert_eq!(seen(&response, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen(&response, "x-real-ip").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen(&response, "x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen(&response, "x-forwarded-host").as_deref(), Some("shop.example:81"));
    assert_ne!(seen(&response, "x-request-id").as_deref(), Some("forged"));
}

#[test]
fn a_trusted_proxys_forwarding_fields_are_believed() {
    let origin = Origin::mirror();
    let gateway = behind_a_proxy(&origin);
    let response = trusted(&gateway).ask(FORGED);
    assert_eq!(seen(&response, "x-forwarded-for").as_deref(), Some("1.2.3.4, 127.9.9.9"));
    assert_eq!(seen(&response, "x-real-ip").as_deref(), Some("1.2.3.4"));
    assert_eq!(seen(&response, "x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(seen(&response, "x-forwarded-host").as_deref(), Some("evil"));
    assert_eq!(seen(&response, "x-request-id").as_deref(), Some("forged"));
}

#[test]
fn the_client_is_the_last_address_that_is_not_trusted() {
    let origin = Origin::mirror();
    let gateway = behind_a_proxy(&origin);
    for (sent, client) in [
        ("9.9.9.9, 1.2.3.4", "1.2.3.4"),
        ("1.2.3.4, 127.9.9.9", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::1"),
        ("127.9.9.9", "127.9.9.9"),
        ("nonsense", "127.9.9.9"),
        ("1.2.3.4, nonsense", "127.9.9.9"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: {sent}\r\n\r\n");
        let response = trusted(&gateway).ask(request);
        assert_eq!(seen(&response, "x-real-ip").as_deref(), Some(client), "{sent}");
    }
}

#[test]
fn a_request_id_is_made_echoed_and_different_each_time() {
    let origin = Origin::mirror();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..100 {
        let response = client.get("/");
        let id = seen(&response, "x-request-id").expect("an id for the origin");
        assert_eq!(response.field("x-request-id"), Some(id.as_str()), "echoed");
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[test]
fn the_host_is_preserved_unless_the_route_says_otherwise() {
    let origin = Origin::mirror();
    let gateway = Gateway::before(&origin);
    let kept = gateway.client().ask("GET / HTTP/1.1\r\nHost: shop.example:81\r\n\r\n");
    assert_eq!(seen(&kept, "host").as_deref(), Some("shop.example:81"));
    let text = proxying(&origin).replace("upstream = ", "preserve_host = false\nupstream = ");
    let gateway = Gateway::start(&text);
    let replaced = gateway.client().ask("GET / HTTP/1.1\r\nHost: shop.example:81\r\n\r\n");
    assert_eq!(seen(&replaced, "host").as_deref(), Some(origin.address()));
    assert_eq!(seen(&replaced, "x-forwarded-host").as_deref(), Some("shop.example:81"));
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway() {
    let origin = Origin::start(|visit| {
        let head = visit.head.clone();
        visit.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             X-Stays: 1\r\nContent-Length: {}\r\n\r\n{head}",
            head.len()
        ));
    });
    let gateway = Gateway::before(&origin);
    let response = gateway.client().ask(
        "GET / HTTP/1.1\r\nHost: t\r\nConnection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nProxy-Authorization: x\r\nX-Stays: 1\r\n\r\n",
    );
    for name in ["x-private", "keep-alive", "proxy-connection", "upgrade", "te", "transfer-encoding"] {
        assert_eq!(seen(&response, name), None, "{name} was forwarded: {}", response.text());
    }
    assert_eq!(seen(&response, "x-stays").as_deref(), Some("1"));
    assert_eq!(response.field("x-stays"), Some("1"));
    assert_eq!((response.field("x-hop"), response.field("keep-alive")), (None, None));
}

#[test]
fn a_connection_field_cannot_remove_what_the_gateway_needs() {
    let origin = Origin::mirror();
    let gateway = Gateway::before(&origin);
    let request = "POST / HTTP/1.1\r\nHost: t\r\nConnection: Host, Content-Length, X-Forwarded-For\r\n\
                   Content-Length: 1\r\n\r\na";
    let mut client = gateway.client();
    client.send(request);
    let response = client.response();
    if response.status == 200 {
        assert_eq!(seen(&response, "host").as_deref(), Some("t"));
        assert_eq!(seen(&response, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(origin.bodies(), [b"a".to_vec()]);
    } else {
        assert_eq!(response.status, 400);
    }
}

#[test]
fn a_request_that_goes_round_in_a_loop_ends() {
    let dir = crate::support::fresh_dir();
    let address = crate::support::own_address();
    let gateway = Gateway::start_at(
        &dir,
        address,
        "[routes.all]\nmatch = { prefix = \"/\" }\nupstream = \"self\"\n\
         [upstreams.self]\nendpoints = [\"GATEWAY:8080\"]\n",
    );
    let response = gateway.client().get("/");
    assert_eq!(response.status, 508, "{}", response.text());
    assert!(response.reason().contains("loop"), "{}", response.reason());
}

/// A gateway that demands PROXY headers, with one trusted proxy.
fn with_proxy_protocol(origin: &Origin) -> Gateway {
    Gateway::start(&format!(
        "{}\n[server]\nworkers = 1\ntrusted_proxies = [\"{TRUSTED}/32\"]\n\
         [listeners.http]\nbind = \"GATEWAY:8080\"\nproxy_protocol = true\n",
        proxying(origin)
    ))
}

/// A version 2 header: command and family bytes, then addresses.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

#[test]
fn a_trusted_proxys_header_says_who_the_client_is() {
    let origin = Origin::mirror();
    let gateway = with_proxy_protocol(&origin);
    let v4 = [5, 6, 7, 8, 10, 0, 0, 1, 0x30, 0x39, 0x1f, 0x90];
    let with_tlv = [&v4[..], &[0x04, 0x00, 0x02, 0, 0]].concat();
    let mut v6 = [0_u8; 36];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15] = 1;
    for (header, client) in [
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 4000 8080\r\n".to_vec(), "1.2.3.4"),
        (b"PROXY TCP6 2001:db8::2 2001:db8::3 4000 8080\r\n".to_vec(), "2001:db8::2"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.9.9.9"),
        (v2(0x21, 0x11, &v4), "5.6.7.8"),
        (v2(0x21, 0x11, &with_tlv), "5.6.7.8"),
        (v2(0x21, 0x21, &v6), "2001:db8::1"),
        (v2(0x20, 0x00, &[]), "127.9.9.9"),
    ] {
        let mut connection = trusted(&gateway);
        connection.send(&header);
        for _ in 0..2 {
            let response = connection.get("/");
            assert_eq!(seen(&response, "x-real-ip").as_deref(), Some(client), "{header:?}");
        }
    }
}

#[test]
fn a_proxy_header_may_come_in_pieces() {
    let origin = Origin::mirror();
    let gateway = with_proxy_protocol(&origin);
    let request =
        [&b"PROXY TCP4 1.2.3.4 10.0.0.1 4000 8080\r\n"[..], crate::support::get("/").as_bytes()].concat();
    for cut in 1..request.len() {
        let mut connection = trusted(&gateway);
        connection.send(&request[..cut]);
        connection.send(&request[cut..]);
        assert_eq!(seen(&connection.response(), "x-real-ip").as_deref(), Some("1.2.3.4"), "cut at {cut}");
    }
}

#[test]
fn a_connection_without_a_good_proxy_header_is_closed() {
    let origin = Origin::mirror();
    let gateway = with_proxy_protocol(&origin);
    for header in [
        b"".to_vec(),
        b"PROXY TCP4 1.2.3.4\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 10.0.0.1 4000 808080\r\n".to_vec(),
        b"PROXY TCP5 1.2.3.4 10.0.0.1 4000 8080\r\n".to_vec(),
        b"proxy TCP4 1.2.3.4 10.0.0.1 4000 8080\r\n".to_vec(),
        format!("PROXY TCP4 {}", "1".repeat(200)).into_bytes(),
        v2(0x21, 0x11, &[1, 2, 3]),
        v2(0x31, 0x11, &[0; 12]),
    ] {
        let mut connection = trusted(&gateway);
        connection.send(&header);
        connection.send(crate::support::get("/"));
        let (answer, _) = connection.rest();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{header:?}");
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_stranger_may_not_connect_where_a_proxy_header_is_demanded() {
    let origin = Origin::mirror();
    let gateway = with_proxy_protocol(&origin);
    let mut stranger = gateway.client();
    stranger.send(b"PROXY TCP4 1.2.3.4 10.0.0.1 4000 8080\r\n");
    stranger.send(crate::support::get("/"));
    let (answer, _) = stranger.rest();
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_proxy_header_is_not_read_where_none_is_demanded() {
    let origin = Origin::mirror();
    let gateway = behind_a_proxy(&origin);
    let mut connection = trusted(&gateway);
    connection.send(b"PROXY TCP4 1.2.3.4 10.0.0.1 4000 8080\r\n");
    connection.send(crate::support::get("/"));
    assert_eq!(connection.response().status, 400);
    assert_eq!(origin.requests(), 0);
}
