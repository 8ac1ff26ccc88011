//! Clients that show certificates.

use std::sync::Arc;

use rustls::ClientConfig;

use super::support::{Authority, Client, Gateway, Leaf, Origin, eventually, field, fresh_dir, proxying};

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn authority() -> Authority {
    let authority = Authority::new(&fresh_dir());
    authority.issue("shop", &Leaf::of(&["shop.example"]));
    authority.issue("alice", &Leaf { serial: 11, ..Leaf::of(&["alice.example"]) });
    authority.issue("mallory", &Leaf { serial: 12, ..Leaf::of(&["mallory.example"]) });
    authority
}

fn gateway(authority: &Authority, origin: &Origin, auth: &str) -> Gateway {
    let text = format!(
        "{}[listeners.https]\nbind = \"GATEWAY:8443\"\n[listeners.https.tls]\ncert = \"shop.pem\"\nkey = \
         \"shop.key\"\nclient_auth = {{ ca = \"ca.pem\", header = \"X-Forwarded-Client-Cert\"{auth} }}\n\
         [listeners.http]\nbind = \"GATEWAY:8080\"\n",
        proxying(origin)
    );
    Gateway::start_in(authority.dir(), &text)
}

fn connect(gateway: &Gateway, config: &Arc<ClientConfig>) -> Client {
    Client::tls(gateway.at(8443), "shop.example", config)
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Client-Cert: Hash=made-up\r\n\r\n";

/// What the upstream is told of who asks.
fn told(client: &mut Client) -> Option<String> {
    let answer = client.ask(ASK);
    assert_eq!(answer.status, 200);
    field(&String::from_utf8(answer.body).unwrap(), "x-forwarded-client-cert")
}

#[test]
fn upstreams_are_told_who_a_client_is_and_never_by_the_client() {
    let authority = authority();
    let origin = Origin::mirror();
    let gateway = gateway(&authority, &origin, ", mode = \"optional\"");
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let alice = authority.client_with(versions, Some("alice"));
        // Once more as a session that goes on.
        for resumed in [false, true] {
            let mut client = connect(&gateway, &alice);
            let identity = told(&mut client).unwrap();
            assert!(
                identity.starts_with("Hash=") && identity.contains(";Subject=\"CN=alice\""),
                "{identity}"
            );
            assert!(identity.ends_with(";DNS=alice.example"), "{identity}");
            client.close_notify();
            let kind = client.secured().handshake_kind().unwrap();
            assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed);
        }
    }
    assert_eq!(told(&mut connect(&gateway, &authority.client())), None);
    // Nor on a port where nobody is asked.
    assert_eq!(told(&mut gateway.client()), None);
}

#[test]
fn a_listener_that_requires_a_certificate_serves_nobody_without() {
    let authority = authority();
    let stranger = Authority::new(&fresh_dir());
    stranger.issue("stranger", &Leaf::of(&["alice.example"]));
    let origin = Origin::mirror();
    let gateway = gateway(&authority, &origin, "");
    assert!(told(&mut connect(&gateway, &authority.client_with(BOTH, Some("alice")))).is_some());
    let served = |config: &Arc<ClientConfig>| {
        // In TLS 1.3 the refusal comes behind the handshake.
        Client::try_tls(gateway.at(8443), "shop.example", config).is_ok_and(|mut client| {
            client.send(ASK);
            client.rest().0.starts_with(b"HTTP/1.1 ")
        })
    };
    assert!(!served(&authority.client()));
    let forged = authority.client_trusting(&stranger, "stranger");
    assert!(!served(&forged));
    eventually("both are counted", || origin.requests() == 1);
}

#[test]
fn a_route_may_demand_what_its_listener_leaves_open() {
    let authority = authority();
    let origin = Origin::mirror();
    let text = format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"origin\"\n[upstreams.origin]\nendpoints = [\"{}\"]\n\
         [routes.admin]\nmatch = {{ prefix = \"/admin\" }}\nupstream = \"origin\"\nclient_certificate = \"required\"\n\
         [listeners.https]\nbind = \"GATEWAY:8443\"\n[listeners.https.tls]\ncert = \"shop.pem\"\nkey = \"shop.key\"\n\
         client_auth = {{ ca = \"ca.pem\", mode = \"optional\" }}\n",
        origin.address()
    );
    let gateway = Gateway::start_in(authority.dir(), &text);
    let status = |config: &Arc<ClientConfig>, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        connect(&gateway, config).ask(request).status
    };
    let (alice, nobody) = (authority.client_with(BOTH, Some("alice")), authority.client());
    assert_eq!((status(&alice, "/"), status(&alice, "/admin")), (200, 200));
    assert_eq!((status(&nobody, "/"), status(&nobody, "/admin")), (200, 403));
    gateway.line_with(&["\"reason\":\"tls.client_certificate\"", "\"status\":403"]);
}

#[test]
fn a_revoked_client_is_refused_even_with_a_session_from_before() {
    let authority = authority();
    authority.revoke("crl.pem", &[12]);
    let origin = Origin::mirror();
    let gateway = gateway(&authority, &origin, ", crl = \"crl.pem\"");
    let served = |config: &Arc<ClientConfig>| {
        Client::try_tls(gateway.at(8443), "shop.example", config).is_ok_and(|mut client| {
            client.send(ASK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
            let (bytes, _) = client.rest();
            bytes.starts_with(b"HTTP/1.1 200")
        })
    };
    let (alice, mallory) =
        (authority.client_with(BOTH, Some("alice")), authority.client_with(BOTH, Some("mallory")));
    assert!(served(&alice) && served(&alice));
    assert!(!served(&mallory));
    // Her turn comes, and she has tickets.
    authority.revoke("crl.pem", &[11, 12]);
    eventually("the new list is taken up", || !served(&alice));
}
