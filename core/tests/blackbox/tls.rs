//! TLS towards clients.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::{HandshakeKind, ProtocolVersion};

use super::support::{
    Authority, Client, Gateway, Leaf, Origin, eventually, fresh_dir, get, proxying, skipped, thread,
};

const LISTENER: &str =
    "[listeners.https]\nbind = \"GATEWAY:8443\"\ntls = { cert = \"shop.pem\", key = \"shop.key\" }\n";

/// A folder with a certificate for `shop.example`.
fn authority() -> Authority {
    let authority = Authority::new(&fresh_dir());
    authority.issue("shop", &Leaf::of(&["shop.example", "localhost"]));
    authority
}

fn secure(authority: &Authority, origin: &Origin, more: &str) -> Gateway {
    Gateway::start_in(authority.dir(), &format!("{}{LISTENER}{more}", proxying(origin)))
}

fn ask(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn requests_come_and_go_in_both_versions_and_the_origin_is_told_the_scheme() {
    let authority = authority();
    let origin = Origin::mirror();
    let gateway = secure(&authority, &origin, "");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = authority.client_with(&[version], None);
        let mut client = Client::tls(gateway.at(8443), "shop.example", &config);
        for _ in 0..3 {
            let answer = client.ask(ask("/a", "shop.example"));
            assert_eq!(answer.status, 200);
            let head = String::from_utf8(answer.body).unwrap();
            assert!(head.contains("X-Forwarded-Proto: https"), "{head}");
        }
        let last = client.ask("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
        assert_eq!(last.status, 200);
        // The end is announced: an end that was not would be no clean one.
        assert_eq!(client.rest(), (Vec::new(), true));
        let line = gateway.line_with(&[
            "\"path\":\"/a\"",
            if version.version == ProtocolVersion::TLSv1_2 {
                "\"tls\":\"TLSv1.2\""
            } else {
                "\"tls\":\"TLSv1.3\""
            },
        ]);
        assert!(line.contains("\"sni\":\"shop.example\",\"resumed\":false"), "{line}");
        assert!(!line.contains("\"tls_us\":null"), "the first request has the handshake's time: {line}");
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let authority = authority();
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        visit.send(&body);
    });
    let gateway = secure(&authority, &origin, "");
    let mut client = Client::tls(gateway.at(8443), "shop.example", &authority.client());
    let body: Vec<u8> = (0..3_000_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    for _ in 0..2 {
        client
            .send(format!("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        let answer = client.response();
        assert!(answer.status == 200 && answer.body == body);
    }
}

#[test]
fn the_certificate_is_picked_by_name_and_then_by_key() {
    let authority = authority();
    authority.issue("wild", &Leaf::of(&["*.wild.example"]));
    authority.issue("rsa", &Leaf { algorithm: &rcgen::PKCS_RSA_SHA256, ..Leaf::of(&["shop.example"]) });
    let origin = Origin::saying("x");
    let text = format!(
        "{}[listeners.https]\nbind = \"GATEWAY:8443\"\n[listeners.https.tls]\ncerts = [{{ cert = \"shop.pem\", key = \
         \"shop.key\" }}, {{ cert = \"rsa.pem\", key = \"rsa.key\" }}, {{ cert = \"wild.pem\", key = \
         \"wild.key\" }}]\n",
        proxying(&origin)
    );
    let gateway = Gateway::start_in(authority.dir(), &text);
    let shown = |name: &str, file: &str| {
        let client = Client::tls(gateway.at(8443), name, &authority.client());
        let pem = std::fs::read_to_string(authority.dir().join(file)).unwrap();
        let shown = client.secured().peer_certificates().unwrap()[0].clone();
        let wanted: rustls::pki_types::CertificateDer<'static> =
            rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(shown, wanted, "{name} is shown another than {file}");
    };
    shown("shop.example", "shop.pem");
    shown("any.wild.example", "wild.pem");
    // One that verifies RSA alone.
    let Some(openssl) =
        openssl(&gateway, &["-sigalgs", "rsa_pss_rsae_sha256", "-servername", "shop.example"])
    else {
        return;
    };
    assert!(openssl.contains("Peer signature type: RSA"), "{openssl}");
}

/// What `openssl s_client` says when its input is at its end at once.
fn openssl(gateway: &Gateway, arguments: &[&str]) -> Option<String> {
    let connect = gateway.at(8443).to_string();
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &connect])
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output();
    let Ok(output) = output else {
        skipped("no openssl");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_session_goes_on_on_another_worker() {
    let authority = authority();
    let origin = Origin::saying("x");
    let gateway = secure(&authority, &origin, "[server]\nworkers = 4\n");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let kinds = kinds(&gateway, &authority.client_with(&[version], None), 16);
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    }
}

#[test]
fn a_client_that_asks_for_another_host_than_it_named_is_misdirected() {
    let authority = authority();
    authority.issue("both", &Leaf::of(&["api.example", "also.example"]));
    let origin = Origin::saying("x");
    let text = format!(
        "{}[listeners.https]\nbind = \"GATEWAY:8443\"\n[listeners.https.tls]\ncerts = [{{ cert = \"shop.pem\", key = \
         \"shop.key\" }}, {{ cert = \"both.pem\", key = \"both.key\" }}]\n",
        proxying(&origin)
    );
    let gateway = Gateway::start_in(authority.dir(), &text);
    for (name, host, status) in [
        ("shop.example", "shop.example", 200),
        ("shop.example", "shop.example:8443", 200),
        ("shop.example", "api.example", 421),
        ("api.example", "also.example", 200),
        ("api.example", "shop.example", 421),
    ] {
        let mut client = Client::tls(gateway.at(8443), name, &authority.client());
        assert_eq!(client.ask(ask("/", host)).status, status, "{name} and {host}");
    }
    gateway.line_with(&["\"reason\":\"request.misdirected\"", "\"status\":421"]);
    // Who names nothing may ask for anything.
    let mut config = (*authority.client()).clone();
    config.enable_sni = false;
    let mut client = Client::tls(gateway.at(8443), "shop.example", &Arc::new(config));
    assert_eq!(client.ask(ask("/", "api.example")).status, 200);
}

#[test]
fn each_port_tells_who_speaks_the_other_language() {
    let authority = authority();
    let origin = Origin::saying("x");
    let more = "[listeners.http]\nbind = \"GATEWAY:8080\"\n[metrics]\nbind = \"GATEWAY:9090\"\n[log]\nlevel = \
                \"debug\"\n";
    let gateway = secure(&authority, &origin, more);
    let mut plain = Client::connect(gateway.at(8443));
    let answer = plain.ask(get("/"));
    assert_eq!(answer.status, 400);
    assert!(String::from_utf8(answer.body).unwrap().contains("request.plain_on_tls"));
    assert_eq!(plain.rest(), (Vec::new(), true));
    gateway.line_with(&["request.plain_on_tls", "https"]);

    let why = Client::try_tls(gateway.at(8080), "shop.example", &authority.client()).err().unwrap();
    assert!(why.contains("HandshakeFailure"), "{why}");
    gateway.line_with(&["\"reason\":\"request.tls_on_plain\""]);
    let page = String::from_utf8(Client::connect(gateway.at(9090)).get("/metrics").body).unwrap();
    for word in ["request.plain_on_tls", "request.tls_on_plain"] {
        assert!(
            page.contains(&format!("ringway_requests_by_reason_total{{reason=\"{word}\"}} 1\n")),
            "{page}"
        );
    }
    assert!(page.contains("ringway_tls_handshakes_total{result=\"failed\"} 1\n"), "{page}");
}

#[test]
fn a_handshake_has_its_time() {
    let authority = authority();
    let origin = Origin::saying("x");
    let gateway =
        secure(&authority, &origin, "[limits]\nhandshake_timeout = \"200ms\"\n[log]\nlevel = \"debug\"\n");
    let mut silent = Client::connect(gateway.at(8443));
    let mut halting = Client::connect(gateway.at(8443));
    // The beginning of a record of a hello.
    halting.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]);
    silent.expect_closed();
    halting.expect_closed();
    eventually("both are told", || gateway.output().matches("handshake.timeout").count() >= 2);
    let mut client = Client::tls(gateway.at(8443), "shop.example", &authority.client());
    // Its time runs no longer.
    assert!(client.silent_for(Duration::from_millis(400)));
    assert_eq!(client.ask(ask("/", "shop.example")).status, 200);
}

#[test]
fn an_answer_that_is_cut_ends_without_a_word() {
    let authority = authority();
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        visit.close();
    });
    let gateway = secure(&authority, &origin, "");
    let mut client = Client::tls(gateway.at(8443), "shop.example", &authority.client());
    client.send(ask("/", "shop.example"));
    let (bytes, clean) = client.rest();
    assert!(bytes.ends_with(b"only this") && !clean);
}

/// How each of some connections began.
fn kinds(gateway: &Gateway, config: &Arc<rustls::ClientConfig>, count: usize) -> Vec<HandshakeKind> {
    let once = |_| {
        let mut client = Client::tls(gateway.at(8443), "shop.example", config);
        assert_eq!(client.ask(ask("/", "shop.example")).status, 200);
        client.close_notify();
        client.secured().handshake_kind().unwrap()
    };
    (0..count).map(once).collect()
}

#[test]
fn sessions_outlive_the_process_where_keys_are_kept() {
    let authority = authority();
    let origin = Origin::saying("x");
    let state = fresh_dir();
    for (kept, expected) in [(true, HandshakeKind::Resumed), (false, HandshakeKind::Full)] {
        let config = authority.client();
        let line = if kept { format!("state_dir = \"{}\"\n", state.display()) } else { String::new() };
        for first in [HandshakeKind::Full, expected] {
            // Its folder goes with it.
            let dir = fresh_dir();
            for file in ["shop.pem", "shop.key"] {
                std::fs::copy(authority.dir().join(file), dir.join(file)).unwrap();
            }
            let text = format!("{}{LISTENER}[server]\nworkers = 2\n{line}", proxying(&origin));
            let gateway = Gateway::start_in(&dir, &text);
            assert_eq!(kinds(&gateway, &config, 3), [first, HandshakeKind::Resumed, HandshakeKind::Resumed]);
        }
    }
    std::fs::remove_dir_all(state).unwrap();
}

#[test]
fn a_new_certificate_is_taken_up_and_an_edit_of_the_configuration_is_not() {
    let authority = authority();
    let origin = Origin::saying("x");
    let gateway = secure(&authority, &origin, "[metrics]\nbind = \"GATEWAY:9090\"\n");
    let config = authority.client();
    let mut kept = Client::tls(gateway.at(8443), "shop.example", &config);
    assert_eq!(kept.ask(ask("/", "shop.example")).status, 200);
    let shown = |client: &Client| client.secured().peer_certificates().unwrap()[0].clone();
    let before = shown(&kept);
    gateway.rewrite("this is being edited");
    authority.issue("shop", &Leaf { until: 2090, ..Leaf::of(&["shop.example", "localhost"]) });
    eventually("the new certificate is shown", || {
        let fresh = authority.client();
        shown(&Client::tls(gateway.at(8443), "shop.example", &fresh)) != before
    });
    assert_eq!(kept.ask(ask("/", "shop.example")).status, 200, "connections are not touched");
    gateway.line_with(&["reload.done"]);
    let page = String::from_utf8(Client::connect(gateway.at(9090)).get("/metrics").body).unwrap();
    // The first of January of 2090.
    let line = "ringway_certificate_expiry_timestamp_seconds{listener=\"https\",name=\"shop.example\",key=\"ECDSA\"} \
                3786912000\n";
    assert!(page.contains(line), "{page}");
    // What is broken changes nothing.
    std::fs::write(authority.dir().join("shop.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    gateway.line_with(&["reload.refused"]);
    let after = Client::tls(gateway.at(8443), "shop.example", &authority.client());
    assert_ne!(shown(&after), before);
}

#[test]
fn reloads_under_load_cost_no_request() {
    let authority = authority();
    let origin = Origin::saying("x");
    let gateway = secure(&authority, &origin, "[server]\nworkers = 2\n");
    let (at, config, done) = (gateway.at(8443), authority.client(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (config, done) = (Arc::clone(&config), Arc::clone(&done));
            thread(move || {
                let mut asked = 0;
                while !done.load(Ordering::Relaxed) {
                    let mut client = Client::tls(at, "shop.example", &config);
                    for _ in 0..3 {
                        assert_eq!(client.ask(ask("/", "shop.example")).status, 200);
                        asked += 1;
                    }
                    client.close_notify();
                }
                asked
            })
        })
        .collect();
    for round in 1..=5 {
        authority.issue("shop", &Leaf { serial: round, ..Leaf::of(&["shop.example", "localhost"]) });
        gateway.signal(rustix::process::Signal::HUP);
        eventually("it is reloaded", || gateway.output().matches("\"reload.done\"").count() as u64 >= round);
    }
    done.store(true, Ordering::Relaxed);
    let asked: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(asked > 50, "{asked}");
}

#[test]
fn http2_is_chosen_in_the_handshake() {
    let authority = authority();
    let origin = Origin::mirror();
    let gateway = secure(&authority, &origin, "");
    let url = "https://shop.example:8443/a";
    let resolve = format!("shop.example:8443:{}", gateway.ip());
    let ca = authority.dir().join("ca.pem");
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let output = Command::new("curl")
            .args(["-sS", flag, "--resolve", &resolve, "--cacert"])
            .arg(&ca)
            .args(["-w", "%{http_version} %{http_code}", "-o", "/dev/null", url])
            .output();
        let Ok(output) = output else { return skipped("no curl") };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("{version} 200"), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let authority = authority();
    let origin = Origin::mirror();
    let text = format!(
        "{}{}proxy_protocol = true\n[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.0/8\"]\n",
        proxying(&origin),
        LISTENER
    );
    let gateway = Gateway::start_in(authority.dir(), &text);
    let mut client = Client::tls_behind(
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n",
        gateway.at(8443),
        "shop.example",
        &authority.client(),
    );
    let answer = client.ask(ask("/", "shop.example"));
    let head = String::from_utf8(answer.body).unwrap();
    assert!(head.contains("203.0.113.7"), "{head}");
}
