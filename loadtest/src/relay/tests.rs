//! Both relays, over sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use super::*;
use crate::args::Url;
use crate::{idle, origin};

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn relay(driver: Driver, to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::Builder::new().spawn(move || run(driver, &listener, to)).unwrap();
    address
}

/// The ring is tested where the machine allows one.
fn drivers() -> Vec<Driver> {
    let ring = Ring::new().is_ok().then_some(Driver::Ring);
    ring.into_iter().chain([Driver::Epoll]).collect()
}

#[test]
fn bytes_go_both_ways_and_a_close_ends_both_sides() {
    for driver in drivers() {
        let origin = origin::start(LOCAL.into(), 100_000).unwrap().address();
        let address = relay(driver, origin);
        let mut held = idle::open(&Url::root(address), 3, None).unwrap();
        assert_eq!(idle::still_open(&held), 3);
        held.truncate(1);
        held.append(&mut idle::open(&Url::root(address), 2, None).unwrap());
        let first = held.remove(0);
        let mut first = first.socket();
        first.set_nonblocking(false).unwrap();
        first.write_all(b"no head").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 0, "the close came back");
    }
}

/// Bytes that tell where they are.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 255).unwrap()).collect()
}

/// Writes all and ends its side, on a thread of its own.
fn write(mut stream: TcpStream, bytes: Vec<u8>) {
    let write = move || {
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    };
    std::thread::Builder::new().spawn(write).unwrap();
}

#[test]
fn large_bodies_go_both_ways_at_once_whole_and_in_order_to_slow_readers() {
    if !drivers().contains(&Driver::Ring) {
        return;
    }
    let origin = TcpListener::bind(LOCAL).unwrap();
    let address = relay(Driver::Ring, origin.local_addr().unwrap());
    let sent = pattern(6_000_011);
    let mut ends = Vec::new();
    for _ in 0..6 {
        ends.push(TcpStream::connect(address).unwrap());
        ends.push(origin.accept().unwrap().0);
    }
    for end in &ends {
        write(end.try_clone().unwrap(), sent.clone());
    }
    // Until everybody reads, buffers are full in all places.
    std::thread::Builder::new()
        .spawn(|| crate::clock::wait(Duration::from_millis(200)))
        .unwrap()
        .join()
        .unwrap();
    let read = |mut end: TcpStream| {
        let mut got = Vec::new();
        end.read_to_end(&mut got).unwrap();
        got
    };
    let readers: Vec<_> =
        ends.into_iter().map(|end| std::thread::Builder::new().spawn(move || read(end)).unwrap()).collect();
    for reader in readers {
        assert!(reader.join().unwrap() == sent, "something is missing or out of order");
    }
}

#[test]
fn hundreds_of_connections_share_the_pieces() {
    if !drivers().contains(&Driver::Ring) {
        return;
    }
    let origin = TcpListener::bind(LOCAL).unwrap();
    let address = relay(Driver::Ring, origin.local_addr().unwrap());
    let mut ends = Vec::new();
    for _ in 0..300 {
        let client = TcpStream::connect(address).unwrap();
        let mut server = origin.accept().unwrap().0;
        // Messages in small pieces, so that each is read by itself.
        for part in pattern(4_000).chunks(1_000) {
            server.write_all(part).unwrap();
        }
        ends.push((client, server));
    }
    for (client, server) in &mut ends {
        let mut got = vec![0; 4_000];
        client.read_exact(&mut got).unwrap();
        assert!(got == pattern(4_000));
        client.write_all(b"thanks").unwrap();
        server.read_exact(&mut got[..6]).unwrap();
        assert_eq!(&got[..6], b"thanks");
    }
}
