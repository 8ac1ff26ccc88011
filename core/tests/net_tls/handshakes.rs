//! Handshakes that fail, and those that go on with an earlier session.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::support::{Client, VERSIONS, client, client_config, server_config};
use ringway_core::clock::Clock;
use ringway_core::net::tls::{self, TicketKey, Tickets, TlsError};
use ringway_core::net::{Buffer, Buffers, Timers};

use super::ours::{accepted, join, listen, on_both, thread};

/// The other side, on a bare socket.
type Peer = fn(TcpStream) -> String;

#[test]
fn a_handshake_that_fails_says_why_to_both() {
    on_both(|| async {
        let (mut acceptor, address) = listen();
        let buffers = Buffers::new();
        let timers = Timers::start();
        let config = Arc::new(server_config(&rustls::version::TLS13));
        let old: Peer = |stream| {
            let mut client = client(stream, client_config(&rustls::version::TLS12));
            client.write_all(b"x").unwrap_err().to_string()
        };
        let plain: Peer = |mut stream| {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            String::new()
        };
        let garbage: Peer = |mut stream| {
            stream.write_all(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
            String::new()
        };
        let leaves: Peer = |_| String::new();
        let silent: Peer = |mut stream| {
            let _ = stream.read(&mut [0]);
            String::new()
        };
        for (which, peer) in [old, plain, garbage, leaves, silent].into_iter().enumerate() {
            let peer = thread(move || peer(TcpStream::connect(address).unwrap()));
            let (mut reader, mut writer) = acceptor.accept().await.unwrap().split(&buffers);
            let deadline = timers.deadline();
            deadline.set(Clock::new().now().after(Duration::from_millis(if which == 4 {
                20
            } else {
                5_000
            })));
            let error = tls::accept(&mut reader, &mut writer, Buffer::empty(), &config, &deadline).await;
            match (which, error.unwrap_err()) {
                (0, TlsError::Tls(rustls::Error::PeerIncompatible(_)))
                | (2, TlsError::Tls(rustls::Error::InvalidMessage(_)))
                | (3, TlsError::Closed)
                | (4, TlsError::TimedOut) => {}
                (1, TlsError::PlainHttp(bytes)) => assert!(bytes.filled().starts_with(b"GET / ")),
                (which, error) => panic!("{which}: {error}"),
            }
            drop((reader, writer));
            let told = join(peer).await;
            assert!(which != 0 || told.contains("ProtocolVersion"), "{told}");
        }
    });
}

#[test]
fn a_session_goes_on_with_a_configuration_that_has_the_same_keys() {
    on_both(|| async {
        for version in VERSIONS {
            let tickets = Tickets::default();
            tickets.publish(&[TicketKey::new(1).unwrap()]);
            let theirs = client_config(version);
            for (round, keys_known) in [(0, true), (1, true), (2, false)] {
                let mut config = server_config(version);
                config.ticketer = Arc::new(if keys_known { tickets.clone() } else { Tickets::default() });
                let says = |mut client: Client| {
                    client.write_all(b"hi").unwrap();
                    client.read_exact(&mut [0; 2]).unwrap();
                };
                let (mut ours, peer) = accepted(config, theirs.clone(), says).await;
                assert_eq!(ours.negotiated.resumed, round == 1, "{round}");
                assert_eq!(ours.hear().await.unwrap(), b"hi");
                ours.say(b"ho").await;
                join(peer).await;
            }
        }
    });
}
