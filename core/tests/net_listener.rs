//! Listening sockets on both drivers: who may bind, what an abandoned accept leaves, what a stop does to clients.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use ringway_config::snapshot::{Address, Driver};
use ringway_core::net::{
    Acceptor, Buffers, NetError, Peer, Sharing, SocketAddress, Stream, Timers, bind, connect, run, sleep,
    spawn,
};

const DRIVERS: [Driver; 2] = [Driver::IoUring, Driver::Epoll];

fn tcp(address: &str) -> Address {
    Address::Socket(address.parse().unwrap())
}

fn listen() -> (Acceptor, SocketAddr) {
    let bound = bind(&tcp("127.0.0.1:0"), 1, Sharing::Refuse).unwrap().pop().unwrap();
    let local = bound.local().unwrap();
    (bound.seat().unwrap(), local)
}

#[test]
fn one_address_has_one_owner_unless_shared() {
    let first = bind(&tcp("127.0.0.1:0"), 3, Sharing::Refuse).unwrap();
    let port = first[0].local().unwrap().port();
    assert!(first.iter().all(|bound| bound.local().unwrap().port() == port));
    let same = tcp(&format!("127.0.0.1:{port}"));
    assert_eq!(bind(&same, 1, Sharing::Refuse).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(bind(&same, 2, Sharing::Allow).unwrap().len(), 2);
    drop(first);
    bind(&same, 1, Sharing::Refuse).unwrap();
    assert!(bind(&Address::Name("localhost".into(), 80), 1, Sharing::Refuse).is_err());
}

#[test]
fn both_wildcards_are_two_addresses() {
    let six = bind(&tcp("[::]:0"), 1, Sharing::Refuse).unwrap();
    let port = six[0].local().unwrap().port();
    let four = bind(&tcp(&format!("0.0.0.0:{port}")), 1, Sharing::Refuse).unwrap();
    assert_eq!(four[0].local().unwrap().port(), port);
}

#[test]
fn a_unix_socket_replaces_a_stale_file_and_nothing_else() {
    let path = std::env::temp_dir().join(format!("ringway-listener-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let address = Address::Unix(path.clone());
    let mut first = bind(&address, 2, Sharing::Refuse).unwrap();
    assert_eq!(bind(&address, 1, Sharing::Allow).unwrap_err().kind(), ErrorKind::AddrInUse);
    run(Driver::IoUring, |_| async {
        let buffers = Buffers::new();
        let deadline = Timers::start().deadline();
        let mut acceptor = first.pop().unwrap().seat().unwrap();
        let stream = connect(&SocketAddress::Unix(path.clone()), &deadline).await.unwrap();
        assert_eq!((stream.peer(), stream.local()), (Peer::Unix, None));
        let (_reader, mut writer) = stream.split(&buffers);
        let mut hello = buffers.take(5);
        hello.append().extend_from_slice(b"hello");
        writer.send(hello, &deadline).await.unwrap();
        // Queued, and still to be had after the file is gone.
        acceptor.stop_handshakes().unwrap();
        let error = connect(&SocketAddress::Unix(path.clone()), &deadline).await.unwrap_err();
        assert!(matches!(&error, NetError::Io(error) if error.kind() == ErrorKind::NotFound), "{error}");
        // First in the queue is what the second instance asked with.
        assert!(acceptor.accept_queued().is_some());
        let (mut reader, _) = acceptor.accept_queued().unwrap().split(&buffers);
        assert_eq!(reader.recv(&deadline).await.unwrap().unwrap().filled(), b"hello");
        assert!(acceptor.accept_queued().is_none());
    })
    .unwrap();
    drop(first);
    drop(bind(&address, 1, Sharing::Refuse).unwrap());
    assert!(path.exists());
    drop(bind(&address, 1, Sharing::Refuse).unwrap());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file of somebody's").unwrap();
    assert!(bind(&address, 1, Sharing::Refuse).is_err());
    assert!(path.exists());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn abandoned_accepts_lose_and_leak_no_connection() {
    for driver in DRIVERS {
        run(driver, |_| async {
            let (mut acceptor, address) = listen();
            let rounds = 1_500;
            let mut accepted: Vec<Stream> = Vec::new();
            let mut clients = Vec::new();
            for _ in 0..rounds {
                // Polled before the connection comes and after, and dropped: by then it may be accepted.
                let mut accepting = Box::pin(acceptor.accept());
                let early = std::future::poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
                accepted.extend(ready(early));
                drop(accepting);
                clients.push(TcpStream::connect(address).unwrap());
                let mut accepting = Box::pin(acceptor.accept());
                let late = std::future::poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
                accepted.extend(ready(late));
            }
            while accepted.len() < rounds {
                accepted.push(acceptor.accept().await.unwrap());
            }
            assert!(acceptor.accept_queued().is_none());
            drop(accepted);
            // A close is with the driver until it gets its turn.
            sleep(Duration::from_millis(10)).await;
            for mut client in clients {
                let _ = client.set_read_timeout(Some(Duration::from_secs(5)));
                // Closed by us: none is left open in a hidden descriptor.
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
        })
        .unwrap();
    }
}

fn ready(poll: Poll<std::io::Result<Stream>>) -> Option<Stream> {
    match poll {
        Poll::Ready(stream) => Some(stream.unwrap()),
        Poll::Pending => None,
    }
}

#[test]
fn accepted_sockets_do_not_delay_and_do_not_survive_an_exec() {
    for driver in DRIVERS {
        run(driver, |_| async move {
            let (mut acceptor, address) = listen();
            let client = TcpStream::connect(address).unwrap();
            let stream = acceptor.accept().await.unwrap();
            assert_eq!(stream.peer(), Peer::Socket(client.local_addr().unwrap()));
            assert_eq!(stream.local(), Some(address));
            let socket = socket2::SockRef::from(&stream);
            assert!(socket.nodelay().unwrap());
            let flags = rustix::io::fcntl_getfd(stream.as_fd()).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            let status = rustix::fs::fcntl_getfl(stream.as_fd()).unwrap();
            assert_eq!(status.contains(rustix::fs::OFlags::NONBLOCK), driver == Driver::Epoll);
        })
        .unwrap();
    }
}

#[test]
fn a_full_queue_does_not_starve_other_tasks() {
    for driver in DRIVERS {
        run(driver, |_| async {
            let (mut acceptor, address) = listen();
            let clients: Vec<_> = (0..1_000).map(|_| TcpStream::connect(address).unwrap()).collect();
            let turns = Rc::new(std::cell::Cell::new(0_u32));
            let counted = Rc::clone(&turns);
            let (mut bound, local) = listen();
            let mut feeder = TcpStream::connect(local).unwrap();
            let (mut reader, _writer) = bound.accept().await.unwrap().split(&Buffers::new());
            spawn(async move {
                let deadline = Timers::start().deadline();
                // Each turn needs the driver, because readiness is only known there.
                while feeder.write_all(b"x").is_ok() && matches!(reader.recv(&deadline).await, Ok(Some(_))) {
                    counted.set(counted.get() + 1);
                }
            });
            while turns.get() == 0 {
                sleep(Duration::from_millis(10)).await;
            }
            let before = turns.get();
            let mut streams = Vec::new();
            for _ in 0..1_000 {
                streams.push(acceptor.accept().await.unwrap());
            }
            let turns = turns.get() - before;
            assert!(turns >= 1_000 / 64 - 1, "{turns} turns in a thousand accepts");
            drop((streams, clients));
        })
        .unwrap();
    }
}

/// What a client saw that was told nothing of the stop.
#[derive(Debug, Default)]
struct Seen {
    served: u32,
    refused: u32,
    timed_out: u32,
    broken: Vec<String>,
}

fn flood(address: SocketAddr, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        match TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => seen.refused += 1,
            Err(error) if error.kind() == ErrorKind::TimedOut => seen.timed_out += 1,
            Err(error) => seen.broken.push(format!("connect: {error}")),
            Ok(mut stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut answer = Vec::new();
                match stream.write_all(b"x").and_then(|()| stream.read_to_end(&mut answer)) {
                    Ok(_) if answer == b"ok" => seen.served += 1,
                    Ok(_) => seen.broken.push("no answer".to_owned()),
                    Err(error) => seen.broken.push(format!("served: {error}")),
                }
            }
        }
    }
    seen
}

async fn serve(stream: Stream) {
    let buffers = Buffers::new();
    let deadline = Timers::start().deadline();
    let (mut reader, mut writer) = stream.split(&buffers);
    let mut asked = reader.recv(&deadline).await.unwrap().unwrap();
    asked.clear();
    asked.append().extend_from_slice(b"ok");
    writer.send(asked, &deadline).await.unwrap();
}

#[test]
fn a_listener_that_stops_under_a_flood_resets_nobody() {
    for driver in DRIVERS {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = run(driver, |_| async {
            let (mut acceptor, address) = listen();
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    let stop = Arc::clone(&stop);
                    std::thread::Builder::new().spawn(move || flood(address, &stop)).unwrap()
                })
                .collect();
            for _ in 0..400 {
                spawn(serve(acceptor.accept().await.unwrap()));
            }
            // The queue fills while nobody accepts.
            std::thread::yield_now();
            acceptor.stop_handshakes().unwrap();
            while let Some(stream) = acceptor.accept_queued() {
                spawn(serve(stream));
            }
            // While the filter is there nobody is refused and nobody gets in.
            sleep(Duration::from_millis(150)).await;
            assert!(acceptor.accept_queued().is_none());
            drop(acceptor);
            sleep(Duration::from_millis(200)).await;
            stop.store(true, Ordering::Relaxed);
            sleep(Duration::from_millis(200)).await;
            clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
        })
        .unwrap();
        let total = |count: fn(&Seen) -> u32| seen.iter().map(count).sum::<u32>();
        assert!(seen.iter().all(|seen| seen.broken.is_empty()), "{seen:?}");
        assert!(total(|seen| seen.served) >= 400, "{seen:?}");
        // The filter made them wait, the close refused them.
        assert!(total(|seen| seen.timed_out) > 0 && total(|seen| seen.refused) > 0, "{seen:?}");
    }
}
