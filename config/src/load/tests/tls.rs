//! The keys of TLS and HTTP/2 among the others: what is said of those that cannot be meant, and what a reload says.

use super::*;
use crate::snapshot::ClientCertificate;
use crate::tls::ClientAuthMode;

const PAIR: &str = "cert = \"certs/api.crt\", key = \"certs/api.key\"";

/// A file with these further keys on its listener and its route.
fn on(listener: &str, route: &str) -> String {
    around(route, "").replace("[upstreams", &format!("{listener}\n[upstreams"))
}

#[test]
fn a_listener_that_cannot_be_meant_is_refused() {
    let auth = |keys: &str| format!("tls = {{ {PAIR}, client_auth = {{ {keys} }} }}");
    for (lines, expected) in [
        ("tls = true".to_owned(), vec!["3:7: listeners.http.tls: expected a table, found true"]),
        (
            "tls = {}".to_owned(),
            vec![
                "3:1: listeners.http.tls: `cert` is missing; write for example `tls = {",
                "3:1: listeners.http.tls: `key` is missing; write for example `tls = {",
            ],
        ),
        (
            "tls = { certs = [] }".to_owned(),
            vec!["3:17: listeners.http.tls.certs: a listener has 1 to 10000 cert"],
        ),
        (
            format!("tls = {{ certs = [{{ {PAIR} }}], {PAIR} }}"),
            vec![
                "3:9: listeners.http.tls.certs: a listener has `cert` and `key`, or a list `certs`; move the pair",
            ],
        ),
        (
            "tls = { certs = [{ cert = \"certs/api.crt\" }] }".to_owned(),
            vec!["3:18: listeners.http.tls.certs[0]: `key` is missing; write for example `{ cert ="],
        ),
        (
            format!("tls = {{ {PAIR}, min_version = \"1.1\" }}"),
            vec!["3:70: listeners.http.tls.min_version: expected one of \"1.2\", \"1.3\", found \"1.1\""],
        ),
        (
            auth("mode = \"required\""),
            vec!["3:56: listeners.http.tls.client_auth: `ca` is missing; write for exa"],
        ),
        (
            auth("ca = \"certs/ca.crt\", mode = \"maybe\""),
            vec![
                "3:100: listeners.http.tls.client_auth.mode: expected one of \"required\", \"optional\", found",
            ],
        ),
        (
            auth("ca = \"certs/ca.crt\", header = \"Host\""),
            vec!["3:102: listeners.http.tls.client_auth.header: expected the name of a header that is free"],
        ),
        (
            auth("ca = \"certs/ca.crt\", header = \"a b\""),
            vec!["3:102: listeners.http.tls.client_auth.header: expected the name of a header that is free"],
        ),
        (
            auth("ca = \"certs/api.key\""),
            vec!["3:77: listeners.http.tls.client_auth.ca: `certs/api.key` holds no"],
        ),
        (
            format!("tls = {{ {PAIR} }}\nredirect_https = {{}}"),
            vec![
                "4:1: listeners.http.redirect_https: what comes here is https already; redirect on a listener",
            ],
        ),
    ] {
        let said = refusal(&on(&lines, ""));
        let said: Vec<&str> = said.lines().collect();
        assert_eq!(said.len(), expected.len(), "{lines}: {said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(&format!("t.toml:{expected}")), "{lines}: {said}");
        }
    }
}

#[test]
fn a_route_may_demand_a_certificate_where_one_is_asked_for() {
    let demand = "client_certificate = \"required\"";
    let tls = format!("tls = {{ {PAIR}, client_auth = {{ ca = \"certs/ca.crt\", mode = \"optional\" }} }}");
    let snapshot = load(&on(&tls, demand)).unwrap().snapshot;
    assert_eq!(snapshot.routes.all()[0].client_certificate, ClientCertificate::Required);
    let listener = &snapshot.listeners[0];
    let mode = listener.tls.as_ref().unwrap().client_auth.as_ref().unwrap().mode;
    assert_eq!((listener.scheme(), mode), ("https", ClientAuthMode::Optional));
    let said = refusal(&on("", demand));
    let expected =
        "t.toml:10:22: routes.app.client_certificate: no listener of this route asks for certificates; add";
    assert!(said.starts_with(expected), "{said}");
    let elsewhere =
        on(&tls, &format!("{demand}\nlisteners = [\"b\"]")) + "[listeners.b]\nbind = \"127.0.0.1:1\"\n";
    assert!(refusal(&elsewhere).contains("no listener of this route asks"), "{}", refusal(&elsewhere));
    assert!(
        refusal(&on(&tls, "client_certificate = \"no\"")).contains("expected \"required\", found \"no\"")
    );
}

#[test]
fn files_are_left_alone_with_the_secrets() {
    let text = on(
        "tls = { cert = \"certs/none.crt\", key = \"certs/none.key\", client_auth = { ca = \"env:NONE\" } }",
        "",
    );
    let snapshot = load_as(&text, Secrets::Ignore).unwrap().snapshot;
    let tls = snapshot.listeners[0].tls.as_ref().unwrap();
    assert!(tls.certificates.all().is_empty() && tls.client_auth.is_none() && snapshot.files.is_empty());
    assert_eq!(load(&text).unwrap_err().0.len(), 3);
}

#[test]
fn session_keys_are_kept_where_the_file_or_systemd_says() {
    let state = |text: &str, given: Option<&str>| {
        let environment = |name: &str| given.filter(|_| name == "STATE_DIRECTORY").map(str::to_owned);
        let around = Surroundings { environment: &environment, now: NOW };
        let folder = crate::tls::tests::folder();
        let loaded = load_with("t.toml", text, &folder, &mut Names::default(), Secrets::Resolve, &around);
        loaded.map(|loaded| loaded.snapshot.server.state_dir).map_err(|errors| errors.to_string())
    };
    let typed = around("", "") + "[server]\nstate_dir = \"certs\"\n";
    let certs = crate::tls::tests::folder().join("certs");
    assert_eq!(state(&typed, Some("/var/lib/x")), Ok(Some(certs)));
    assert_eq!(state(&around("", ""), Some("/var/lib/x:/var/lib/y")), Ok(Some("/var/lib/x".into())));
    assert_eq!(state(&around("", ""), Some("relative")), Ok(None));
    assert_eq!(state(&around("", ""), None), Ok(None));
    let said = state(&typed.replace("\"certs\"", "\"none\""), None).unwrap_err();
    assert_eq!(said, "t.toml:11:13: server.state_dir: expected a folder; make it first; found \"none\"");
}

#[test]
fn a_unix_socket_is_asked_under_a_name() {
    let text = |tls: &str| around("", tls).replace("127.0.0.1:3000", "unix:app.sock");
    let said = refusal(&text("tls = { ca = \"certs/ca.crt\" }"));
    assert!(
        said.starts_with("t.toml:5:1: upstreams.app.tls: a Unix socket has no name to ask for; "),
        "{said}"
    );
    assert!(load(&text("tls = { ca = \"certs/ca.crt\", server_name = \"app\" }")).is_ok());
}

#[test]
fn the_difference_names_what_changed_of_tls() {
    let old = load(&on("", "")).unwrap().snapshot;
    let listener = format!("tls = {{ {PAIR} }}\nhttp2 = false\nconnection_age = \"1h\"");
    let text = on(&listener, "tunnel_age = \"2h\"")
        .replace("endpoints", "tls = { ca = \"certs/ca.crt\" }\nprotocol = \"auto\"\nstreams = 9\nendpoints")
        .replace("endpoints", "health = { grpc = true }\nendpoints")
        + "[limits]\nhandshake_timeout = \"9s\"\nh2_streams = 5\n";
    let new = load(&text).unwrap().snapshot;
    let expected = [
        "changed listeners.http: tls, http2 true -> false, handshake_timeout 10s -> 9s, connection_age, \
         h2_streams 128 -> 5",
        "changed routes.app: handshake_timeout 10s -> 9s, tunnel_age, h2_streams 128 -> 5",
        "changed upstreams.app: health, tls, protocol, streams 1 -> 9",
    ];
    assert_eq!(diff(&old, &new), expected);
}
