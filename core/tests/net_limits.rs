//! At the process's and the ring's limits. One test, because it changes what the process may open.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use ringway_config::snapshot::{Address, Driver};
use ringway_core::net::{
    Acceptor, Buffers, Sharing, SocketAddress, Timers, bind, connect, is_resource_exhaustion, raise_nofile,
    run, sleep, spawn,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn listen() -> (Acceptor, SocketAddr) {
    let address = Address::Socket("127.0.0.1:0".parse().unwrap());
    let bound = bind(&address, 1, Sharing::Refuse).unwrap().pop().unwrap();
    let local = bound.local().unwrap();
    (bound.seat().unwrap(), local)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// An accept that finds no descriptor left is one error each time that the caller asks, and the connection is still
/// there when there is one.
async fn exhausted_accept() {
    let (mut acceptor, address) = listen();
    let _client = TcpStream::connect(address).unwrap();
    let limit = getrlimit(Resource::Nofile);
    let none_left = Rlimit { current: Some(3), maximum: limit.maximum };
    setrlimit(Resource::Nofile, none_left).unwrap();
    let mut errors = 0;
    for _ in 0..10 {
        let error = acceptor.accept().await.unwrap_err();
        assert!(is_resource_exhaustion(&error), "{error}");
        errors += 1;
        sleep(Duration::from_millis(1)).await;
    }
    setrlimit(Resource::Nofile, limit).unwrap();
    acceptor.accept().await.unwrap();
    assert_eq!(errors, 10);
}

/// More watches, and then more sends and receives at once, than the ring has entries.
async fn a_burst_beyond_the_ring(pairs: usize) {
    let before = descriptors();
    let buffers = Buffers::new();
    let timers = Timers::start();
    let (mut acceptor, address) = listen();
    let served = Rc::new(Cell::new(0));
    let mut near = Vec::new();
    for _ in 0..pairs {
        let deadline = timers.deadline();
        near.push(connect(&SocketAddress::Tcp(address), &deadline).await.unwrap().split(&buffers));
        let (mut reader, mut writer) = acceptor.accept().await.unwrap().split(&buffers);
        let served = Rc::clone(&served);
        spawn(async move {
            while let Some(bytes) = reader.recv(&deadline).await.unwrap() {
                writer.send(bytes, &deadline).await.unwrap();
                served.set(served.get() + 1);
            }
        });
    }
    // Thousands idle: no buffer is out.
    sleep(Duration::from_millis(10)).await;
    assert!(buffers.free_bytes() <= 16 * Buffers::SMALL);
    let answered = Rc::new(Cell::new(0));
    for (reader, writer) in near {
        let (mut reader, mut writer) = (reader, writer);
        let (deadline, buffers) = (timers.deadline(), Rc::clone(&buffers));
        let answered = Rc::clone(&answered);
        spawn(async move {
            for round in 0..3_u8 {
                let mut bytes = buffers.take(1);
                bytes.append().push(round);
                writer.send(bytes, &deadline).await.unwrap();
                assert_eq!(reader.recv(&deadline).await.unwrap().unwrap().filled(), [round]);
                answered.set(answered.get() + 1);
            }
        });
    }
    while answered.get() < 3 * pairs {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(served.get(), 3 * pairs);
    drop(acceptor);
    while descriptors() > before {
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn the_limits_are_met_without_a_spin_a_panic_or_a_leak() {
    let most = raise_nofile().unwrap();
    assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), most);
    let pairs = usize::try_from(most / 2).unwrap().saturating_sub(100).min(5_000);
    assert!(pairs >= 1_500, "a limit of {most} descriptors is too low for this test");
    for driver in [Driver::IoUring, Driver::Epoll] {
        run(driver, |_| async {
            exhausted_accept().await;
            a_burst_beyond_the_ring(pairs).await;
        })
        .unwrap();
    }
}
