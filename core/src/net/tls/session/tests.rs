//! A session between bytes that are cut in every place, without a socket.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};

use super::*;
use crate::net;

fn file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

fn configs(version: &'static SupportedProtocolVersion) -> (ServerConfig, ClientConfig) {
    let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let server = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
    let client = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

/// A session of ours, and a client with whom it has shaken hands.
fn pair(version: &'static SupportedProtocolVersion) -> (Rc<Session>, ClientConnection) {
    let (server, client) = configs(version);
    let name = ServerName::try_from("shop.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let connection = UnbufferedServerConnection::new(Arc::new(server)).unwrap();
    let session = Session::new(Engine::Server(connection), &Buffers::new(), &Timers::start());
    let mut input = Buffer::empty();
    loop {
        while client.wants_write() {
            client.write_tls(input.append()).unwrap();
        }
        let turn = session.shake(&mut input).unwrap();
        if let Some(flight) = session.take_pending() {
            feed(&mut client, flight.filled());
        }
        if turn == Turn::Traffic && !client.is_handshaking() {
            return (session, client);
        }
    }
}

fn feed(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
    }
}

fn receive(session: &Session, bytes: &[u8]) {
    let mut buffer = Buffers::new().take(bytes.len());
    buffer.append().extend_from_slice(bytes);
    session.take_in(Ok(Some(buffer)));
}

fn take(session: &Session) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(Some(bytes))) = session.take_ready() {
        all.extend_from_slice(bytes.filled());
    }
    all
}

fn records(client: &mut ClientConnection, texts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        client.writer().write_all(text).unwrap();
        client.write_tls(&mut out).unwrap();
    }
    out
}

/// What needs a driver's thread.
fn on_a_driver(test: impl Fn()) {
    net::run(ringway_config::snapshot::Driver::Auto, |_| async { test() }).unwrap();
}

#[test]
fn records_cut_anywhere_give_the_same_plaintext_and_leave_no_buffer() {
    on_a_driver(|| {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let texts: [&[u8]; 3] = [b"one", b"", b"three and a little more"];
            let whole = texts.concat();
            let length = records(&mut pair(version).1, &texts).len();
            let (session, mut client) = pair(version);
            for cut in 0..=length {
                let bytes = records(&mut client, &texts);
                let mut seen = Vec::new();
                for part in [&bytes[..cut], &bytes[cut..]] {
                    receive(&session, part);
                    seen.extend(take(&session));
                }
                assert_eq!(seen, whole, "cut at {cut}");
                let inner = session.inner.borrow();
                let held = [&inner.plain, &inner.partial, &inner.pending].map(Buffer::room);
                assert_eq!(held, [0; 3], "cut at {cut}");
            }
            // Byte by byte.
            let bytes = records(&mut client, &texts);
            for byte in &bytes {
                receive(&session, &[*byte]);
            }
            assert_eq!(take(&session), whole);
        }
    });
}

/// A session of ours as the client of a server whose records are tiny, and what that has sent after the handshake.
fn client_of_a_cutting_server() -> (Rc<Session>, ServerConnection, Vec<u8>) {
    let (mut server, client) = configs(&rustls::version::TLS13);
    server.max_fragment_size = Some(32);
    let name = ServerName::try_from("shop.example").unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let connection = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
    let session = Session::new(Engine::Client(connection), &Buffers::new(), &Timers::start());
    let mut input = Buffer::empty();
    loop {
        let turn = session.shake(&mut input).unwrap();
        if let Some(flight) = session.take_pending() {
            let mut bytes = flight.filled();
            while !bytes.is_empty() {
                server.read_tls(&mut bytes).unwrap();
                server.process_new_packets().unwrap();
            }
        }
        let mut sent = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut sent).unwrap();
        }
        if turn == Turn::Traffic {
            session.take_in(Ok(Some(input)));
            return (session, server, sent);
        }
        input.append().extend_from_slice(&sent);
    }
}

#[test]
fn tickets_cut_into_records_survive_what_is_sent_meanwhile() {
    on_a_driver(|| {
        let (_, _, tickets) = client_of_a_cutting_server();
        assert!(tickets.len() > 200, "{}", tickets.len());
        for cut in (0..tickets.len()).step_by(7) {
            let (session, mut server, mut bytes) = client_of_a_cutting_server();
            server.writer().write_all(b"after").unwrap();
            server.write_tls(&mut bytes).unwrap();
            let (head, tail) = bytes.split_at(cut);
            receive(&session, head);
            let mut text = Buffers::new().take(16);
            text.append().extend_from_slice(b"meanwhile");
            session.begin(9);
            let sealed = session.seal(&mut text, 9, 9).unwrap();
            server.read_tls(&mut sealed.filled()).unwrap();
            server.process_new_packets().unwrap();
            let mut nine = [0; 9];
            server.reader().read_exact(&mut nine).unwrap();
            assert_eq!(&nine, b"meanwhile");
            for part in tail.chunks(11) {
                receive(&session, part);
            }
            assert_eq!(take(&session), b"after", "cut at {cut}");
            assert!(!session.has_partial());
        }
    });
}

#[test]
fn a_long_message_is_sealed_in_pieces_that_say_the_same() {
    on_a_driver(|| {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (session, mut client) = pair(version);
            for len in [0, 1, 16 * 1024, 16 * 1024 + 1, PIECE, 3 * PIECE + 7] {
                let text: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
                let mut plain = Buffers::new().take(len);
                plain.append().extend_from_slice(&text);
                let bound = session.sealed_len(len);
                session.begin(len);
                let (mut got, mut sent) = (Vec::new(), 0);
                while !plain.is_empty() {
                    let sealed = session.seal(&mut plain, len, PIECE).unwrap();
                    sent += sealed.len();
                    let mut bytes = sealed.filled();
                    while !bytes.is_empty() {
                        client.read_tls(&mut bytes).unwrap();
                        client.process_new_packets().unwrap();
                        let _ = client.reader().read_to_end(&mut got);
                    }
                }
                assert!(got == text, "{len}");
                assert!(sent <= bound, "{len}: {sent} and {bound}");
            }
        }
    });
}

#[test]
fn what_is_no_record_is_refused_at_its_head() {
    on_a_driver(|| {
        for head in [&[23, 3, 3, 0xff, 0xff][..], b"GET /", &[99, 3, 3, 0, 1]] {
            for cut in [0, 2] {
                let (session, _client) = pair(&rustls::version::TLS13);
                receive(&session, &head[..cut]);
                receive(&session, &head[cut..]);
                assert!(matches!(session.take_ready(), Some(Err(NetError::Io(_)))), "{head:?}, {cut}");
                assert!(session.take_pending().is_some(), "an alert");
                assert!(!session.has_partial());
            }
        }
    });
}
