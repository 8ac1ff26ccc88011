//! Upstreams with TLS: what verifies them, what is shown to them, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls_native_certs::CertificateResult;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;
use crate::load::{Loaded, Names, Secrets, Surroundings, load_with};
use crate::snapshot::{Protocol, Upstream};
use crate::tls::{provider, verify};

fn load(lines: &str) -> Result<Loaded, String> {
    let text = format!(
        "[listeners.http]\nbind = \"127.0.0.1:0\"\n[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"app\"\n\
         [upstreams.app]\nendpoints = [\"app.internal:443\"]\n{lines}\n"
    );
    let around = Surroundings { environment: &|_| None, now: NOW };
    load_with("t.toml", &text, &folder(), &mut Names::default(), Secrets::Resolve, &around)
        .map_err(|errors| errors.to_string())
}

fn upstream(lines: &str) -> Upstream {
    load(lines).unwrap().snapshot.upstreams.remove(0)
}

fn takes(verifier: &Arc<dyn ServerCertVerifier>, file: &str, name: &str) -> bool {
    let shown = CertificateDer::from_pem_slice(read(file).as_bytes()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    verifier.verify_server_cert(&shown, &[], &ServerName::try_from(name).unwrap(), &[], now).is_ok()
}

#[test]
fn the_protocol_decides_what_is_offered() {
    let ca = "tls = { ca = \"certs/ca.crt\" }";
    for (line, protocol, offered) in [
        ("", Protocol::Http1, vec!["http/1.1"]),
        ("protocol = \"http2\"", Protocol::Http2, vec!["h2"]),
        ("protocol = \"auto\"\nstreams = 7", Protocol::Auto, vec!["h2", "http/1.1"]),
    ] {
        let upstream = upstream(&format!("{ca}\n{line}"));
        let client = &upstream.tls.as_ref().unwrap().client;
        let own: Vec<_> =
            client.alpn_protocols.iter().map(|name| std::str::from_utf8(name).unwrap()).collect();
        assert_eq!((upstream.protocol, own), (protocol, offered));
        assert_eq!(
            upstream.streams_max,
            match protocol {
                Protocol::Http1 => 1,
                Protocol::Http2 => 100,
                Protocol::Auto => 7,
            }
        );
    }
    let clear = upstream("tls = false\nprotocol = \"http2\"");
    assert!(clear.tls.is_none() && clear.protocol == Protocol::Http2);
}

#[test]
fn an_upstream_is_verified_by_its_authority_and_name_unless_told_otherwise() {
    let roots = |file: &str| {
        let certs = CertificateDer::pem_slice_iter(read(file).as_bytes()).collect::<Result<_, _>>().unwrap();
        let mut found = CertificateResult::default();
        found.certs = certs;
        found
    };
    let provider = Arc::new(provider());
    let verifier = verify::servers(verify::system_roots(roots("ca.crt")).unwrap(), &provider).unwrap();
    assert!(takes(&verifier, "api.crt", "api.example.com"));
    assert!(takes(&verifier, "example.crt", "any.example.com"));
    assert!(!takes(&verifier, "api.crt", "example.com"), "another name");
    let lax = verify::nobody(&provider);
    assert!(takes(&lax, "api.crt", "other.org"));
    let none = verify::system_roots(CertificateResult::default()).unwrap_err();
    assert!(
        none.starts_with("this system trusts no authority; install its CA certificates, or write"),
        "{none}"
    );
    add("api", &Made { until: (2025, 1, 1), ..Made::of(&["api.example.com"]) });
    assert!(!takes(&verifier, "api.crt", "api.example.com"), "one that has ended");
}

#[test]
fn what_is_shown_and_asked_for_is_in_the_snapshot() {
    let tls = "server_name = \"API.internal\", ca = \"certs/ca.crt\"";
    let pair = "cert = \"certs/api.crt\", key = \"certs/api.key\"";
    let (bare, with) =
        (upstream(&format!("tls = {{ {tls} }}")), upstream(&format!("tls = {{ {tls}, {pair} }}")));
    let (bare, with) = (bare.tls.unwrap(), with.tls.unwrap());
    assert_eq!(bare.server_name, Some(ServerName::try_from("api.internal").unwrap()));
    assert!(!bare.client.client_auth_cert_resolver.has_certs());
    assert!(with.client.client_auth_cert_resolver.has_certs());
    assert_ne!(bare.fingerprint, with.fingerprint);
    let loaded = load(&format!("tls = {{ {tls}, {pair} }}")).unwrap();
    assert_eq!(loaded.snapshot.files.len(), 3);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (lines, expected) in [
        (
            "protocol = \"auto\"",
            "8:12: upstreams.app.protocol: only a TLS handshake can choose; write \"http1\" or",
        ),
        ("tls = \"yes\"", "8:7: upstreams.app.tls: expected true, false or a table such as"),
        ("tls = { ca = [] }", "8:14: upstreams.app.tls.ca: expected 1 to 100 files, found 0"),
        (
            "tls = { ca = 1 }",
            "8:14: upstreams.app.tls.ca: expected the path of a PEM file, or a list of them",
        ),
        (
            "tls = { ca = \"none\" }",
            "8:14: upstreams.app.tls.ca: the file `none` cannot be read: No such file",
        ),
        (
            "tls = { ca = \"certs/ca.crl\" }",
            "8:14: upstreams.app.tls.ca: `certs/ca.crl` holds no certificate; ",
        ),
        (
            "tls = { cert = \"certs/api.crt\" }",
            "8:1: upstreams.app.tls: `key` is missing; write for example `cert =",
        ),
        (
            "tls = { key = \"certs/api.key\" }",
            "8:1: upstreams.app.tls: `cert` is missing; write for example `cert =",
        ),
        (
            "tls = { server_name = \"a b\" }",
            "8:23: upstreams.app.tls.server_name: expected the name in the upstream's",
        ),
        (
            "tls = { verify = false, ca = \"certs/ca.crt\" }",
            "8:30: upstreams.app.tls.ca: with `verify = false` nothing",
        ),
        (
            "tls = { verifi = false }",
            "8:9: upstreams.app.tls.verifi: unknown key `verifi`; did you mean `verify`?",
        ),
    ] {
        let said = load(lines).unwrap_err();
        assert!(
            said.starts_with(&format!("t.toml:{expected}")) && said.lines().count() == 1,
            "{lines}: {said}"
        );
    }
}

#[test]
fn every_missing_file_is_told_at_once() {
    let said = load("tls = { ca = \"a\", cert = \"b\", key = \"c\" }").unwrap_err();
    let keys: Vec<_> = said.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(keys, ["upstreams.app.tls.ca", "upstreams.app.tls.cert", "upstreams.app.tls.key"]);
}

#[test]
fn an_upstream_that_nobody_verifies_draws_a_warning() {
    let loaded = load("tls = { verify = false }").unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0]
            .starts_with("t.toml:8:18: upstreams.app.tls.verify: nobody verifies this upstream, ")
    );
}
