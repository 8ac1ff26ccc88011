//! What a connection holds while it rests: all bytes that are allocated in a process in which the gateway runs, between
//! clients and an origin that hold nothing.
#![expect(unsafe_code, reason = "only an allocator can count what is allocated")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up has failed"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ringway_core::control::{Options, Ready, Source, run};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Bytes in small blocks that are allocated now.
static SMALL: AtomicI64 = AtomicI64::new(0);
/// Large blocks that are allocated now: buffers, and lists of some length.
static LARGE: AtomicI64 = AtomicI64::new(0);
/// The size of the smallest buffer.
const LARGE_BYTES: usize = 4096;

/// The system's allocator, with the sum of what it has given.
struct Counting;

fn count(bytes: usize, sign: i64) {
    if bytes < LARGE_BYTES {
        SMALL.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX) * sign, Ordering::Relaxed);
    } else {
        LARGE.fetch_add(sign, Ordering::Relaxed);
    }
}

// SAFETY: every call goes on to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promises are passed on; `memory` came from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world";
/// So many connections are there before it is counted.
const BEFORE: usize = 300;
/// So many are counted.
const COUNTED: usize = 1_600;
/// Bytes in small blocks that a resting connection has at most. Its share of the worker's and the driver's lists, which
/// are large blocks, is about 60 bytes more.
const EACH_MAX: i64 = 880;
/// The same of one that speaks TLS: what rustls keeps of it, and nothing else.
const SECURE_EACH_MAX: i64 = 3_600;
/// Large blocks more at most: the buffers that a worker keeps free, and some for lists. One each would be more.
const LARGE_MAX: i64 = 1_100;

/// Answers the requests of one connection after the other.
fn origin(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).unwrap_or_default() > 0 {
            stream.write_all(ANSWER).unwrap();
        }
    }
}

/// Starts an origin and the gateway, each on threads of their own; where the gateway listens.
fn start(driver: &str, of_listener: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap();
    std::thread::Builder::new().spawn(move || origin(&listener)).unwrap();
    let text = format!(
        "[server]\nworkers = 1\ndriver = \"{driver}\"\n[log]\naccess = \"off\"\n\
         [limits]\nheader_timeout = \"120s\"\n[listeners.http]\nbind = \"127.0.0.1:0\"\n{of_listener}\
         [routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"u\"\n\
         [upstreams.u]\nendpoints = [\"{endpoint}\"]\n"
    );
    let (ready, address) = mpsc::channel();
    let gateway = move || {
        let source = Source::Embedded { name: "test".to_owned(), text, base: std::env::temp_dir() };
        let at = move |at: &Ready| ready.send(at.listeners.first().unwrap().1.clone()).unwrap();
        run(Options { source, on_ready: Some(Box::new(at)) }).unwrap();
    };
    std::thread::Builder::new().spawn(gateway).unwrap();
    address.recv_timeout(Duration::from_secs(20)).unwrap()
}

/// One request and its answer.
fn ask(client: &mut TcpStream) {
    client.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    let (mut buffer, mut filled) = ([0; 4096], 0);
    while !buffer[..filled].ends_with(b"hello, world") {
        let n = client.read(&mut buffer[filled..]).unwrap();
        assert!(n > 0, "the connection ended");
        filled += n;
    }
}

/// So many connections more, each after so many requests.
fn open(held: &mut Vec<TcpStream>, address: &str, connections: usize, requests: usize) {
    for _ in 0..connections {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for _ in 0..requests {
            ask(&mut client);
        }
        held.push(client);
    }
}

/// What is allocated once nothing changes any more: bytes in small blocks, and large ones.
fn settled() -> (i64, i64) {
    let look = || (SMALL.load(Ordering::Relaxed), LARGE.load(Ordering::Relaxed));
    let mut last = look();
    for _ in 0..40 {
        // Longer than a connection is taken to be busy after an answer.
        std::thread::park_timeout(Duration::from_millis(250));
        let now = look();
        if (now.0 - last.0).abs() < 1_000 {
            break;
        }
        last = now;
    }
    look()
}

/// So many connections more that speak TLS, each after a request. What the client knows of its TLS is forgotten.
fn open_secure(held: &mut Vec<TcpStream>, address: &str, connections: usize, client: &Arc<ClientConfig>) {
    for _ in 0..connections {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from("shop.example").unwrap();
        let mut tls = ClientConnection::new(Arc::clone(client), name).unwrap();
        let mut session = rustls::Stream::new(&mut tls, &mut stream);
        session.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
        let (mut buffer, mut filled) = ([0; 4096], 0);
        while !buffer[..filled].ends_with(b"hello, world") {
            filled += session.read(&mut buffer[filled..]).unwrap();
        }
        drop(tls);
        held.push(stream);
    }
}

fn resting_tls_connections_stay_within_their_budget() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
    for (version, driver) in versions.into_iter().zip(["auto", "epoll"]) {
        let client = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let tls = format!(
            "tls = {{ cert = \"{0}/server.pem\", key = \"{0}/server.key\" }}\nhttp2 = false\n",
            folder.display()
        );
        let (address, client) = (start(driver, &tls), Arc::new(client));
        let mut held = Vec::with_capacity(BEFORE + COUNTED);
        open_secure(&mut held, &address, BEFORE, &client);
        let before = settled();
        open_secure(&mut held, &address, COUNTED / 4, &client);
        let after = settled();
        let each = (after.0 - before.0) / i64::try_from(COUNTED / 4).unwrap();
        assert!((1_000..=SECURE_EACH_MAX).contains(&each), "{driver}, {version:?}: {each} bytes");
        let large = after.1 - before.1;
        assert!(large <= LARGE_MAX / 4, "{driver}, {version:?}: {large} large blocks");
        drop(held);
        settled();
    }
}

#[test]
fn a_resting_connection_stays_within_its_budget() {
    // One after the other: there is one count.
    resting_tls_connections_stay_within_their_budget();
    for driver in ["auto", "epoll"] {
        // Before a first request, after one, and after several in a row.
        for requests in [0, 1, 3] {
            let address = start(driver, "");
            let mut held = Vec::with_capacity(BEFORE + COUNTED);
            open(&mut held, &address, BEFORE, requests);
            let before = settled();
            open(&mut held, &address, COUNTED, requests);
            let after = settled();
            let each = (after.0 - before.0) / i64::try_from(COUNTED).unwrap();
            assert!((100..=EACH_MAX).contains(&each), "{driver}, {requests} requests: {each} bytes");
            let large = after.1 - before.1;
            assert!(large <= LARGE_MAX, "{driver}, {requests} requests: {large} large blocks");
            // They are as good as new ones.
            held.iter_mut().take(20).for_each(ask);
            // The next count must not see them go.
            drop(held);
            settled();
        }
    }
}
