//! What black-box tests stand on: a gateway process, an origin that does as told, a client that sees every byte.

mod client;
mod gateway;
pub(crate) mod h2;
mod h2_origin;
pub(crate) mod hpack;
mod origin;
mod peers;
mod tls;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use client::{Client, Response, get};
pub(crate) use gateway::{Gateway, fresh_dir, listens, proxying};
pub(crate) use h2_origin::H2Origin;
pub(crate) use origin::{Origin, Visit, field, ok};
pub(crate) use peers::{GrpcServer, WebSocketPeer, grpc_client, skipped};
pub(crate) use tls::{Authority, Leaf};

/// Nothing on loopback takes this long unless it hangs; generous, because machines are shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Now, by the machine's clock: tests measure what the gateway does from the outside.
#[expect(clippy::disallowed_methods, reason = "a test has no worker whose clock it could read")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets a moment pass between two looks at a condition.
pub(crate) fn breathe() {
    std::thread::park_timeout(Duration::from_millis(2));
}

/// Waits until a condition holds; fails with its name after [`PATIENCE`].
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !holds() {
        assert!(now() < deadline, "never came true: {what}");
        breathe();
    }
}

/// The value of something that moves, once it has not moved for a while.
pub(crate) fn settled(mut value: impl FnMut() -> usize) -> usize {
    let (mut last, mut since) = (value(), now());
    eventually("the value settles", || {
        let current = value();
        if current != last {
            (last, since) = (current, now());
        }
        now() - since > Duration::from_millis(300)
    });
    last
}

/// Runs a closure on a thread of its own.
pub(crate) fn thread<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().spawn(run).unwrap()
}

/// A loopback address that no other test has, in this run or in one beside it: ports on it are free, and none is ever
/// taken by an outgoing connection, which the kernel gives 127.0.0.1.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < 1 << 11, "more than 2047 addresses in one run");
    // 127.64.0.0 to 127.191.255.255: 12 bits of the process id, 11 bits of a counter.
    Ipv4Addr::from(0x7f40_0000 + ((std::process::id() & 0x0fff) << 11) + number)
}
