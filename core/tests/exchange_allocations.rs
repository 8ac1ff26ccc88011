//! A whole exchange, from a client's bytes over an endpoint's and back, allocates nothing once things are warm: the
//! gateway runs in this process, between a client and an origin that do not allocate themselves.
#![expect(unsafe_code, reason = "only an allocator can count allocations")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use ringway_core::control::{Options, Ready, Source, run};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with a count of all threads' calls.
struct Counting;

// SAFETY: every call goes on to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on; `memory` came from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on; `memory` came from the system's allocator.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nhello, world\r\n0\r\n\r\n";

/// Reads until bytes end with a pattern; the buffer is the caller's.
fn read_until(stream: &mut TcpStream, buffer: &mut [u8; 4096], pattern: &[u8]) -> usize {
    let mut filled = 0;
    while !buffer[..filled].ends_with(pattern) {
        let n = stream.read(&mut buffer[filled..]).unwrap_or_default();
        if n == 0 {
            return 0;
        }
        filled += n;
    }
    filled
}

/// Answers every request with the same bytes, a chunked body for a POST.
fn origin(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    loop {
        // Every request here ends so: a GET by its head, a POST by its last chunk.
        if read_until(&mut stream, &mut buffer, b"\r\n\r\n") == 0 {
            return;
        }
        let is_post = buffer.starts_with(b"POST");
        if is_post && !buffer.windows(5).any(|window| window == b"0\r\n\r\n") {
            read_until(&mut stream, &mut buffer, b"0\r\n\r\n");
        }
        buffer.fill(0);
        stream.write_all(if is_post { CHUNKED } else { ANSWER }).unwrap();
    }
}

/// Starts an origin and the gateway, each on threads of their own; where the gateway listens.
fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap();
    std::thread::Builder::new().spawn(move || origin(&listener)).unwrap();
    let text = format!(
        "[server]\nworkers = 1\n[log]\naccess = \"/dev/null\"\n[listeners.http]\nbind = \"127.0.0.1:0\"\n\
         [routes.all]\nmatch = {{ pattern = \"/users/{{id}}\" }}\nupstream = \"u\"\n\
         request = {{ set = {{ X-User = \"$param.id\" }} }}\nresponse = {{ remove = [\"Server\"] }}\n\
         [upstreams.u]\nendpoints = [\"{endpoint}\"]\n"
    );
    let (ready, address) = mpsc::channel();
    let gateway = move || {
        let source = Source::Embedded { name: "test".to_owned(), text, base: std::env::temp_dir() };
        let at = move |at: &Ready| ready.send(at.listeners.first().unwrap().1.clone()).unwrap();
        run(Options { source, on_ready: Some(Box::new(at)) }).unwrap();
    };
    std::thread::Builder::new().spawn(gateway).unwrap();
    address.recv_timeout(std::time::Duration::from_secs(20)).unwrap()
}

/// Sends a request so many times, its answer read up to where it ends; how often the process allocated meanwhile.
fn allocations(client: &mut TcpStream, times: u64, request: &[u8], end: &[u8]) -> u64 {
    let mut buffer = [0; 4096];
    let before = COUNT.load(Ordering::Relaxed);
    for _ in 0..times {
        client.write_all(request).unwrap();
        assert!(read_until(client, &mut buffer, end) > 0, "the connection ended");
    }
    COUNT.load(Ordering::Relaxed) - before
}

#[test]
fn an_exchange_allocates_nothing_once_warm() {
    let mut client = TcpStream::connect(start()).unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    client.set_nodelay(true).unwrap();
    let get = b"GET /users/7?x=y HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\n\r\n";
    let post =
        b"POST /users/7 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (request, end, each) in [(&get[..], &b"hello, world"[..], 0), (post, b"0\r\n\r\n", 1)] {
        allocations(&mut client, 500, request, end);
        let allocated = allocations(&mut client, 2000, request, end);
        // A body that streams has one box for its way up. Control's ticks and the batches of the access log are a few
        // more, whatever the number of requests.
        assert!(
            allocated < 2000 * each + 200,
            "{allocated} allocations for 2000 exchanges, {each} each expected"
        );
    }
}
