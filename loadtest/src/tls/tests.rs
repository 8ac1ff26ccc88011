//! Sessions with a server of the same library, over sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::line::{Got, Line};

const PATIENCE: Duration = Duration::from_secs(10);

/// A folder of a test's own with a certificate; none: it cannot be made here.
struct Secrets(PathBuf);

impl Secrets {
    fn new(name: &str) -> Option<Self> {
        if !files::can_be_made() {
            eprintln!("skipped: no openssl to make a certificate with");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("ringway-{name}-{}", std::process::id()));
        files::make(&folder).unwrap();
        Some(Self(folder))
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Tickets that are not encrypted, so that every process can read those of another.
#[derive(Debug)]
struct OpenTickets;

impl ProducesTickets for OpenTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3600
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        Some(plain.to_vec())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        Some(cipher.to_vec())
    }
}

/// Answers each connection's bytes with the same, until it is closed, and closes it in turn.
fn echo(secrets: &Secrets) -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(secrets.0.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(secrets.0.join("key.pem")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap();
    config.ticketer = Arc::new(OpenTickets);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut both = rustls::Stream::new(&mut session, &mut stream);
            let mut bytes = vec![0; 50_000];
            while let Ok(read @ 1..) = both.read(&mut bytes) {
                both.write_all(&bytes[..read]).unwrap();
            }
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    address
}

/// Sends bytes and reads them back.
fn ask(line: &mut Line, sent: &[u8]) {
    let (mut rest, mut back, mut buffer) = (sent, Vec::new(), vec![0; 40_000]);
    while !rest.is_empty() || back.len() < sent.len() {
        if !rest.is_empty() {
            let written = line.write(rest).unwrap();
            rest = &rest[written..];
            continue;
        }
        let got = line.read(&mut buffer, |bytes| {
            back.extend_from_slice(bytes);
            Ok(())
        });
        assert_eq!(got, Ok(Got::Something));
    }
    assert!(back == sent, "{} bytes", back.len());
}

#[test]
fn bytes_come_back_as_they_were() {
    let Some(secrets) = Secrets::new("echo") else { return };
    let (address, client) = (echo(&secrets), Client::new("h2").unwrap());
    let mut line = Line::connect_waiting(address, Some(&client), PATIENCE).unwrap();
    assert_eq!(line.session().and_then(Session::protocol), Some(&b"h2"[..]));
    assert_eq!(line.session().and_then(Session::is_resumed), Some(false));
    for length in [1, 16_384, 16_385, 40_000] {
        let sent: Vec<u8> = (0..length).map(|at: usize| u8::try_from(at % 251).unwrap()).collect();
        ask(&mut line, &sent);
    }
}

#[test]
fn tickets_of_one_process_are_resumed_at_another_and_each_once() {
    let Some(secrets) = Secrets::new("tickets") else { return };
    let (issuer, other) = (echo(&secrets), echo(&secrets));
    let tickets = Arc::new(Tickets::default());
    let client = Client::new("h2").unwrap();
    let resumes = |client: &Client, address| {
        let mut line = Line::connect_waiting(address, Some(client), PATIENCE).unwrap();
        // Tickets come behind the handshake.
        ask(&mut line, b"x");
        line.session().and_then(Session::is_resumed).unwrap()
    };
    let (collecting, using) = (client.collecting(&tickets), client.using(&tickets));
    assert!(!resumes(&collecting, issuer) && !resumes(&collecting, issuer));
    let count = tickets.count();
    assert!(count >= 2, "{count}");
    for left in (0..count).rev() {
        assert!(resumes(&using, other), "{left} left");
        assert_eq!(tickets.count(), left);
    }
    assert!(!resumes(&using, other) && !resumes(&client, other), "there are none");
}
