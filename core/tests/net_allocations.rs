//! In the steady state a request and its answer cost no allocation in the seam.

#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::time::Duration;

use ringway_config::snapshot::{Address, Driver};
use ringway_core::clock::Clock;
use ringway_core::net::{Buffers, Sharing, Timers, bind, run};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain cell that allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_round_trip_allocates_nothing_once_warm() {
    for driver in [Driver::IoUring, Driver::Epoll] {
        let counted = run(driver, |_| async {
            let address = Address::Socket("127.0.0.1:0".parse().unwrap());
            let bound = bind(&address, 1, Sharing::Refuse).unwrap().pop().unwrap();
            let mut client = std::net::TcpStream::connect(bound.local().unwrap()).unwrap();
            let stream = bound.seat().unwrap().accept().await.unwrap();
            let client = std::thread::Builder::new().spawn(move || {
                while client.write_all(b"ping").is_ok() && client.read_exact(&mut [0; 8_004]).is_ok() {}
            });
            let buffers = Buffers::new();
            let (clock, deadline) = (Clock::new(), Timers::start().deadline());
            let (mut reader, mut writer) = stream.split(&buffers);
            let mut counted = Vec::new();
            for _ in 0..12 {
                let before = COUNT.get();
                for _ in 0..500 {
                    deadline.set(clock.now().after(Duration::from_secs(30)));
                    let asked = reader.recv(&deadline).await.unwrap().unwrap();
                    let mut body = buffers.take(8_000);
                    body.append().resize(8_000, b'x');
                    deadline.set(clock.now().after(Duration::from_secs(10)));
                    writer.send_two(asked, body, &deadline).await.unwrap();
                }
                counted.push(COUNT.get() - before);
            }
            drop((reader, writer));
            drop(client);
            counted
        })
        .unwrap();
        // None per round trip. A queue that meets its largest size late may still grow once.
        assert!(counted.iter().skip(2).sum::<u64>() <= 4, "{counted:?}");
    }
}
