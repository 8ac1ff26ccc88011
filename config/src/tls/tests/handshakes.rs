//! Whole handshakes in memory between what a listener and what an upstream of the same file were made into.

use std::sync::Arc;

use rustls::{ClientConnection, ProtocolVersion, ServerConfig, ServerConnection};

use super::*;
use crate::load::{Names, Secrets, Surroundings, load_with};
use crate::tls::provider;

/// Shakes hands until both sides are done, or one refuses; the client says why, or else the server.
fn shake(listener: &str, upstream: &str) -> Result<(ClientConnection, ServerConnection), String> {
    let text = format!(
        "[listeners.l]\nbind = \"127.0.0.1:0\"\n[listeners.l.tls]\ncert = \"certs/api.crt\"\nkey = \"certs/api.key\"\n\
         {listener}\n[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"u\"\n\
         [upstreams.u]\nendpoints = [\"127.0.0.1:1\"]\nprotocol = \"auto\"\n\
         tls = {{ server_name = \"api.example.com\", {upstream} }}\n"
    );
    let around = Surroundings { environment: &|_| None, now: NOW };
    let loaded =
        load_with("t.toml", &text, &folder(), &mut Names::default(), Secrets::Resolve, &around).unwrap();
    let own = loaded.snapshot.listeners[0].tls.as_ref().unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
    let builder = builder.with_protocol_versions(own.versions()).unwrap();
    let builder = match &own.client_auth {
        Some(auth) => builder.with_client_cert_verifier(Arc::clone(&auth.verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(own.certificates.clone());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let theirs = loaded.snapshot.upstreams[0].tls.as_ref().unwrap();
    let name = theirs.server_name.clone().unwrap();
    let mut client = ClientConnection::new(Arc::clone(&theirs.client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &*wire).unwrap();
        let refused = server.process_new_packets().map(|_| ()).map_err(|error| error.to_string());
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &*wire).unwrap();
        client.process_new_packets().map_err(|error| error.to_string())?;
        refused?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn what_one_file_says_of_both_sides_agrees() {
    let ca = "ca = \"certs/ca.crt\"";
    let pair = "cert = \"certs/example.crt\", key = \"certs/example.key\"";
    let (client, server) = shake("min_version = \"1.3\"", ca).unwrap();
    assert_eq!(server.server_name(), Some("api.example.com"));
    assert_eq!(
        (client.alpn_protocol(), client.protocol_version()),
        (Some(&b"h2"[..]), Some(ProtocolVersion::TLSv1_3))
    );
    let auth = |rest: &str| format!("client_auth = {{ {ca}{rest} }}");
    let (_, server) = shake(&auth(""), &format!("{ca}, {pair}")).unwrap();
    assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
    let (_, server) = shake(&auth(", mode = \"optional\""), ca).unwrap();
    assert!(server.peer_certificates().is_none());
    assert!(shake("", "verify = false").is_ok());
}

#[test]
fn who_cannot_be_verified_is_refused_on_either_side() {
    let ca = "ca = \"certs/ca.crt\"";
    let said = shake(&format!("client_auth = {{ {ca} }}"), ca).map(|_| ()).unwrap_err();
    assert!(said.contains("CertificateRequired") || said.contains("no certificates"), "{said}");
    // A revoked client.
    add("gone", &Made { serial: 1, ..Made::of(&["gone"]) });
    let gone = format!("{ca}, cert = \"certs/gone.crt\", key = \"certs/gone.key\"");
    let with_list = format!("client_auth = {{ {ca}, crl = \"certs/ca.crl\" }}");
    let said = shake(&with_list, &gone).map(|_| ()).unwrap_err();
    assert!(said.to_lowercase().contains("revoked"), "{said}");
    // A server that another authority has signed.
    write("other.crt", include_str!("keys/sec1.crt"));
    let said = shake("", "ca = \"certs/other.crt\"").map(|_| ()).unwrap_err();
    assert!(said.contains("UnknownIssuer"), "{said}");
}
