//! Against rustls on blocking sockets: data and its end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::support::{Client, Server, VERSIONS, client_config, server_config};
use ringway_core::clock::Clock;
use ringway_core::net::tls::{self, Alpn, Protocol};
use ringway_core::net::{Hold, NetError, sleep};

use super::ours::{accepted, connected, join, on_both, pattern};

#[test]
fn bytes_go_both_ways_and_both_ends_are_announced() {
    on_both(|| async {
        for version in VERSIONS {
            let asks = |mut client: Client| {
                client.write_all(b"ping").unwrap();
                let mut four = [0; 4];
                client.read_exact(&mut four).unwrap();
                assert_eq!(&four, b"pong");
                client.conn.send_close_notify();
                client.flush().unwrap();
                // The end is a close_notify, too: without one this is an error.
                assert_eq!(client.read(&mut four).unwrap(), 0);
            };
            let (mut ours, peer) = accepted(server_config(version), client_config(version), asks).await;
            assert_eq!(ours.negotiated.hello.server_name.as_deref(), None, "nobody took notes");
            assert_eq!(ours.negotiated.alpn, Alpn::H1);
            assert_eq!(ours.negotiated.protocol == Protocol::Tls13, version == VERSIONS[1]);
            assert_eq!(ours.hear().await.unwrap(), b"ping");
            ours.say(b"pong").await;
            assert_eq!(ours.hear().await, None);
            assert_eq!(ours.hear().await, None);
            ours.writer.finish();
            join(peer).await;

            let answers = |mut server: Server| {
                let mut four = [0; 4];
                server.read_exact(&mut four).unwrap();
                server.write_all(b"pong").unwrap();
                assert_eq!(server.read(&mut four).unwrap(), 0);
                server.conn.send_close_notify();
                server.flush().unwrap();
            };
            let (mut ours, peer) = connected(server_config(version), client_config(version), answers).await;
            ours.say(b"ping").await;
            assert_eq!(ours.hear().await.unwrap(), b"pong");
            ours.writer.finish();
            assert_eq!(ours.hear().await, None);
            join(peer).await;
        }
    });
}

#[test]
fn what_is_negotiated_and_asked_for_is_told() {
    on_both(|| async {
        let mut config = server_config(&rustls::version::TLS13);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.cert_resolver = tls::record_hellos(Arc::clone(&config.cert_resolver));
        let mut theirs = client_config(&rustls::version::TLS13);
        theirs.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let (ours, peer) = accepted(config, theirs, |mut client| client.write_all(b"x").unwrap()).await;
        assert_eq!(ours.negotiated.alpn, Alpn::H2);
        assert_eq!(ours.negotiated.hello.server_name.as_deref(), Some("shop.example"));
        assert!(ours.negotiated.hello.certificate.is_some());
        assert!(!ours.negotiated.resumed);
        join(peer).await;
    });
}

/// A socket that gives and takes a few bytes at a time.
struct Crumbs {
    stream: TcpStream,
    seed: u32,
}

impl Crumbs {
    fn next(&mut self, max: usize) -> usize {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (self.seed >> 16) as usize % max
    }
}

impl Read for Crumbs {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.next(700).min(buffer.len());
        self.stream.read(&mut buffer[..n])
    }
}

impl Write for Crumbs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let max = if self.seed & 0x3000 == 0 { 7 } else { 3_000 };
        let n = self.next(max).min(bytes.len());
        let written = self.stream.write(&bytes[..n])?;
        // Long enough, now and then, to be received alone.
        for _ in 0..(self.seed % 5) * 300 {
            std::hint::spin_loop();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_depends_on_how_bytes_are_split() {
    for (seed, version) in [(1, VERSIONS[0]), (2, VERSIONS[1]), (3, VERSIONS[1]), (4, VERSIONS[0])] {
        on_both(|| async {
            let body = pattern(150_000);
            let sent = body.clone();
            let exchange = move |client: Client| {
                let (connection, stream) = client.into_parts();
                let mut client = rustls::StreamOwned::new(connection, Crumbs { stream, seed });
                let mut rest = &sent[..];
                let mut size = 1;
                while !rest.is_empty() {
                    let n = size.min(rest.len());
                    client.write_all(&rest[..n]).unwrap();
                    rest = &rest[n..];
                    size = size * 3 % 20_011 + 1;
                }
                let mut back = vec![0; sent.len()];
                client.read_exact(&mut back).unwrap();
                assert!(back == sent);
            };
            let (mut ours, peer) = accepted(server_config(version), client_config(version), exchange).await;
            let mut got = Vec::new();
            while got.len() < body.len() {
                if got.len() % 3 == 0 {
                    ours.reader.set_hold(if got.len() % 2 == 0 { Hold::Buffer } else { Hold::Nothing });
                    ours.reader.let_go().await;
                }
                got.extend(ours.hear().await.unwrap());
            }
            assert!(got == body);
            ours.say(&got).await;
            join(peer).await;
        });
    }
}

#[test]
fn long_bodies_go_both_ways_at_once_under_back_pressure() {
    on_both(|| async {
        for version in VERSIONS {
            let body = pattern(24 << 20);
            let sent = body.clone();
            let exchange = move |client: Client| {
                let mut client = client;
                client.write_all(&sent).unwrap();
                // By now what the kernel holds is full.
                std::thread::park_timeout(Duration::from_millis(100));
                let mut back = vec![0; sent.len()];
                client.read_exact(&mut back).unwrap();
                assert!(back == sent);
            };
            let (mut ours, peer) = accepted(server_config(version), client_config(version), exchange).await;
            let (mut got, mut largest) = (Vec::new(), 0);
            while got.len() < body.len() {
                let piece = ours.hear().await.unwrap();
                largest = largest.max(piece.len());
                got.extend(piece);
            }
            assert!(got == body);
            // The plaintext of all records of one receive comes at once.
            assert!(largest > 32 * 1024, "{largest}");
            let mut rest = &got[..];
            for (first, second) in [(0, 10), (10, 0), (300, 70_000), (5_000, 5_000), (70_000, 300_000)] {
                let (one, two) = (ours.buffer(&rest[..first]), ours.buffer(&rest[first..first + second]));
                let (one, two) = ours.writer.send_two(one, two, &ours.deadline).await.unwrap();
                assert!(one.is_empty() && two.is_empty());
                rest = &rest[first + second..];
            }
            ours.say(rest).await;
            join(peer).await;
            assert!(ours.buffers.free_bytes() < 4 << 20, "{}", ours.buffers.free_bytes());
        }
    });
}

#[test]
fn posted_buffers_come_in_order_and_whole_to_a_slow_reader() {
    on_both(|| async {
        let version = VERSIONS[1];
        let count = 400_u32;
        let reads = |mut client: Client| {
            client.write_all(b"go").unwrap();
            std::thread::park_timeout(Duration::from_millis(200));
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        };
        let (mut ours, peer) = accepted(server_config(version), client_config(version), reads).await;
        assert_eq!(ours.hear().await.unwrap(), b"go");
        let mut refused = 0;
        for number in 0..count {
            let piece = number.to_be_bytes().repeat(4_000);
            if let Err(piece) = ours.writer.post(ours.buffer(&piece)) {
                refused += 1;
                ours.writer.send(piece, &ours.deadline).await.unwrap();
            }
        }
        ours.writer.settle(&ours.deadline).await.unwrap();
        assert!(ours.writer.is_settled());
        ours.writer.finish();
        let all = join(peer).await;
        let numbers: Vec<u32> =
            all.chunks_exact(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
        let wanted: Vec<u32> = (0..count).flat_map(|number| [number; 4_000]).collect();
        assert!(numbers == wanted, "{} of {}", numbers.len(), wanted.len());
        assert!(refused > 0, "nothing was ever under way");
    });
}

#[test]
fn an_end_without_a_word_is_an_error_and_so_is_ours_when_cut() {
    on_both(|| async {
        for version in VERSIONS {
            let cuts = |mut client: Client| {
                client.write_all(b"part").unwrap();
                client.sock.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                let error = client.read_to_end(&mut got).unwrap_err();
                assert_eq!((error.kind(), &got[..]), (ErrorKind::UnexpectedEof, &b"cut"[..]));
            };
            let (mut ours, peer) = accepted(server_config(version), client_config(version), cuts).await;
            assert_eq!(ours.hear().await.unwrap(), b"part");
            assert_eq!(ours.hear_error().await, ErrorKind::UnexpectedEof);
            assert_eq!(ours.hear_error().await, ErrorKind::UnexpectedEof);
            ours.say(b"cut").await;
            ours.writer.leave_cut();
            drop(ours);
            join(peer).await;

            let hears = |mut client: Client| {
                client.write_all(b"part").unwrap();
                let mut got = Vec::new();
                client.read_to_end(&mut got).map(|_| got)
            };
            // A drop says goodbye, and so does the last send; a reset does not.
            for way in ["drop", "last", "reset"] {
                let (mut ours, peer) = accepted(server_config(version), client_config(version), hears).await;
                assert_eq!(ours.hear().await.unwrap(), b"part");
                let last = ours.buffer(b"last");
                match way {
                    "last" => drop(ours.writer.send_last(last, &ours.deadline).await.unwrap()),
                    _ => drop(ours.writer.post(last)),
                }
                sleep(Duration::from_millis(1)).await;
                if way == "reset" {
                    ours.writer.reset_on_close();
                }
                drop(ours);
                let got = join(peer).await;
                assert_eq!(got.ok().as_deref(), (way != "reset").then_some(&b"last"[..]), "{way}");
            }
        }
    });
}

#[test]
fn what_is_no_data_wakes_nobody_and_leaves_a_connection_quiet() {
    on_both(|| async {
        let version = VERSIONS[1];
        let (step, next) = std::sync::mpsc::channel::<()>();
        // Its tickets come after the handshake, new keys whenever it likes.
        let serves = move |mut server: Server| {
            let mut four = [0; 4];
            server.read_exact(&mut four).unwrap();
            server.write_all(b"pong").unwrap();
            next.recv().unwrap();
            server.conn.refresh_traffic_keys().unwrap();
            server.flush().unwrap();
            next.recv().unwrap();
            server.read_exact(&mut four).unwrap();
            server.write_all(b"more").unwrap();
        };
        let (mut ours, peer) = connected(server_config(version), client_config(version), serves).await;
        ours.say(b"ping").await;
        assert_eq!(ours.hear().await.unwrap(), b"pong");
        assert!(ours.reader.is_quiet());
        step.send(()).unwrap();
        sleep(Duration::from_millis(30)).await;
        assert!(ours.reader.is_quiet());
        let waiting = std::future::poll_fn(|cx| std::task::Poll::Ready(ours.reader.poll_readable(cx)));
        assert!(waiting.await.is_pending());
        step.send(()).unwrap();
        // Its new keys are used, and ours, which it has asked for, too.
        ours.say(b"ping").await;
        assert_eq!(ours.hear().await.unwrap(), b"more");
        assert!(ours.reader.has_read_all());
        join(peer).await;
    });
}

#[test]
fn a_part_of_a_record_is_not_quiet_and_wakes_nobody() {
    on_both(|| async {
        let version = VERSIONS[1];
        let speaks = |mut client: Client| {
            client.write_all(b"first").unwrap();
            let mut record = Vec::new();
            client.conn.writer().write_all(b"second").unwrap();
            client.conn.write_tls(&mut record).unwrap();
            client.sock.write_all(&record[..9]).unwrap();
            std::thread::park_timeout(Duration::from_millis(60));
            client.sock.write_all(&record[9..]).unwrap();
            let _ = client.read(&mut [0]);
        };
        let (mut ours, peer) = accepted(server_config(version), client_config(version), speaks).await;
        assert_eq!(ours.hear().await.unwrap(), b"first");
        // Arms what tells.
        let _ = ours.reader.is_quiet();
        sleep(Duration::from_millis(20)).await;
        assert!(!ours.reader.is_quiet());
        let clock = Clock::new();
        ours.deadline.set(clock.now().after(Duration::from_millis(1)));
        assert!(matches!(ours.reader.recv(&ours.deadline).await, Err(NetError::TimedOut)));
        ours.deadline.clear();
        assert_eq!(ours.hear().await.unwrap(), b"second");
        assert!(ours.reader.is_quiet());
        drop(ours);
        join(peer).await;
    });
}

#[test]
fn a_record_that_was_changed_is_refused_and_its_sender_told() {
    on_both(|| async {
        for version in VERSIONS {
            let forges = |mut client: Client| {
                client.write_all(b"good").unwrap();
                let mut record = Vec::new();
                client.conn.writer().write_all(b"forged").unwrap();
                client.conn.write_tls(&mut record).unwrap();
                *record.last_mut().unwrap() ^= 1;
                client.sock.write_all(&record).unwrap();
                client.read(&mut [0]).unwrap_err().to_string()
            };
            let (mut ours, peer) = accepted(server_config(version), client_config(version), forges).await;
            assert_eq!(ours.hear().await.unwrap(), b"good");
            assert_eq!(ours.hear_error().await, ErrorKind::InvalidData);
            drop(ours);
            let told = join(peer).await;
            assert!(told.contains("BadRecordMac"), "{told}");
        }
    });
}
