//! TLS towards endpoints.

use rustls::HandshakeKind;

use super::support::{Authority, Gateway, Leaf, Origin, eventually, fresh_dir, get, ok};

/// A gateway before an origin that speaks TLS as `origin.example`, with what `tls` says.
fn before(authority: &Authority, origin: &Origin, tls: &str, more: &str) -> Gateway {
    let text = format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"origin\"\n[upstreams.origin]\n\
         endpoints = [\"{}\"]\n{more}tls = {tls}\n",
        origin.address()
    );
    // Its folder goes with it.
    let dir = fresh_dir();
    std::fs::copy(authority.dir().join("ca.pem"), dir.join("ca.pem")).unwrap();
    Gateway::start_in(&dir, &text)
}

const TLS: &str = "{ server_name = \"origin.example\", ca = \"ca.pem\" }";

fn authority() -> Authority {
    let authority = Authority::new(&fresh_dir());
    authority.issue("origin", &Leaf::of(&["origin.example"]));
    authority
}

#[test]
fn requests_go_over_tls_on_kept_connections() {
    let authority = authority();
    let origin = Origin::start_tls(authority.server("origin"), |visit| {
        let body = visit.body();
        visit.send(ok(&format!("{} bytes", body.len())));
    });
    let gateway = before(&authority, &origin, TLS, "");
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").body, b"0 bytes");
    }
    let body = vec![b'x'; 2_000_000];
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.response().body, b"2000000 bytes");
    assert_eq!(origin.connections(), 1, "tickets between requests are no reason to give a connection up");
}

#[test]
fn a_long_answer_comes_whole() {
    let authority = authority();
    let body: Vec<u8> = (0..5_000_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let sent = body.clone();
    let origin = Origin::start_tls(authority.server("origin"), move |visit| {
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()));
        visit.send(&sent);
    });
    let gateway = before(&authority, &origin, TLS, "");
    assert!(gateway.client().get("/").body == body);
}

#[test]
fn an_end_that_is_not_announced_is_no_end_of_a_body() {
    let authority = authority();
    for cut in [false, true] {
        let origin = Origin::start_tls(authority.server("origin"), move |visit| {
            visit.send("HTTP/1.1 200 OK\r\n\r\nall of it");
            if cut { visit.cut() } else { visit.close() }
        });
        let gateway = before(&authority, &origin, TLS, "");
        let answer = {
            let mut client = gateway.client();
            client.send(get("/"));
            client.try_response("GET")
        };
        assert_eq!(answer.is_ok(), !cut, "{answer:?}");
        if cut {
            gateway.line_with(&["\"reason\":\"upstream."]);
        }
    }
}

#[test]
fn a_certificate_that_is_not_to_be_believed_is_not() {
    let authority = authority();
    authority.issue("expired", &Leaf { until: 2021, ..Leaf::of(&["origin.example"]) });
    authority.issue("other", &Leaf::of(&["other.example"]));
    let stranger = Authority::new(&fresh_dir());
    stranger.issue("stranger", &Leaf::of(&["origin.example"]));
    for config in [authority.server("expired"), authority.server("other"), stranger.server("stranger")] {
        let origin = Origin::start_tls(config, |visit| visit.send(ok("x")));
        let gateway = before(&authority, &origin, TLS, "");
        let answer = gateway.client().get("/");
        assert_eq!(answer.status, 502);
        assert!(String::from_utf8(answer.body).unwrap().contains("upstream.tls.certificate"));
        gateway.line_with(&["upstream.tls", "certificate"]);
        assert_eq!(origin.requests(), 0);
        // Who says so may still ask.
        let trusting = "{ server_name = \"origin.example\", verify = false }";
        let gateway = before(&authority, &origin, trusting, "");
        assert_eq!(gateway.client().get("/").status, 200);
    }
}

#[test]
fn what_is_no_tls_is_said_to_be_none() {
    let authority = authority();
    // Speaks first, and not TLS.
    let origin = Origin::start_speaking(b"220 mail.example ESMTP\r\n");
    let gateway = before(&authority, &origin, TLS, "");
    let answer = gateway.client().get("/");
    assert_eq!(answer.status, 502);
    assert!(String::from_utf8(answer.body).unwrap().contains("upstream.tls.handshake"));
}

#[test]
fn sessions_go_on_on_new_connections() {
    let authority = authority();
    let origin = Origin::start_tls(authority.server("origin"), |visit| {
        let kind = visit.handshake_kind();
        visit.send(ok(&format!("{kind:?}")));
        visit.close();
    });
    let gateway = before(&authority, &origin, TLS, "keepalive = 0\n");
    let kinds: Vec<_> = (0..4).map(|_| String::from_utf8(gateway.client().get("/").body).unwrap()).collect();
    assert_eq!(kinds[0], format!("{:?}", HandshakeKind::Full));
    assert!(kinds[1..].iter().all(|kind| *kind == format!("{:?}", HandshakeKind::Resumed)), "{kinds:?}");
}

#[test]
fn checks_are_made_over_tls() {
    let authority = authority();
    let origin = Origin::start_tls(authority.server("origin"), |visit| {
        visit.send(if visit.path() == "/ill" { ok("x").replace("200", "500") } else { ok("x") });
    });
    let check = "health = { path = \"/ill\", interval = \"100ms\", unhealthy_after = 1 }\n";
    let gateway = before(&authority, &origin, TLS, check);
    gateway.line_with(&["health.down", "status 500"]);
    eventually("the endpoint gets no requests", || gateway.client().get("/").status == 503);
    let check = "health = { path = \"/well\", interval = \"100ms\" }\n";
    let gateway = before(&authority, &origin, TLS, check);
    assert_eq!(gateway.client().get("/").status, 200);
    eventually("it is asked", || origin.heads().iter().any(|head| head.starts_with("GET /well ")));
}
