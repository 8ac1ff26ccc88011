//! An origin that speaks HTTP/2 by prior knowledge, frame by frame, and remembers what it was asked.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::h2::{END_STREAM, PREFACE, Peer, Stream, settings};
use super::{eventually, own_address, thread};

#[expect(
    clippy::disallowed_types,
    reason = "origin threads and the test share what was seen; nothing here is a data plane"
)]
type Shared<T> = std::sync::Mutex<T>;

/// One thread that accepts, one for each connection.
pub(crate) struct H2Origin {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What the origin has met so far.
#[derive(Default)]
pub(crate) struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Shared<Vec<Stream>>,
    stop: AtomicBool,
}

impl H2Origin {
    /// An origin on a fresh address; the script runs once for each connection, once both have said hello. It is given
    /// the connection's number, from 1.
    pub(crate) fn start(script: impl Fn(&mut Peer, usize) + Send + Sync + 'static) -> Self {
        Self::start_with(&[], script)
    }

    /// The same with settings.
    pub(crate) fn start_with(
        values: &[(u16, u32)],
        script: impl Fn(&mut Peer, usize) + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(SocketAddr::from((own_address(), 3000)), values, script)
    }

    /// The same at a known address.
    pub(crate) fn start_at(
        address: SocketAddr,
        values: &[(u16, u32)],
        script: impl Fn(&mut Peer, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let seen = Arc::<Seen>::default();
        let (shared, script, hello) = (Arc::clone(&seen), Arc::new(script), settings(values));
        thread(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                shared.open.fetch_add(1, Ordering::SeqCst);
                let (seen, script, hello) = (Arc::clone(&shared), Arc::clone(&script), hello.clone());
                thread(move || {
                    let mut peer = Peer::of(stream, 2);
                    peer.seen = Some(Arc::clone(&seen));
                    if peer.fill(PREFACE.len()).is_ok() && peer.take(PREFACE.len()) == PREFACE {
                        peer.send(hello);
                        script(&mut peer, number);
                    }
                    drop(peer);
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    /// An origin that answers every request, once it is whole, with a 200 of this text.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self::start(move |peer, _| {
            while let Some((stream, _)) = peer.request() {
                peer.say(stream, text);
            }
        })
    }

    /// The configuration of a gateway that has one route for everything, to this origin.
    pub(crate) fn proxying(&self) -> String {
        self.proxying_with("")
    }

    /// The same with more lines for the upstream.
    pub(crate) fn proxying_with(&self, lines: &str) -> String {
        format!(
            "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"origin\"\n[upstreams.origin]\n\
             endpoints = [\"{}\"]\nprotocol = \"http2\"\n{lines}\n",
            self.address
        )
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// All requests that were taken, as they stood then.
    pub(crate) fn requests(&self) -> Vec<Stream> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// The only one.
    pub(crate) fn request(&self) -> Stream {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().unwrap()
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let address = self.address;
        eventually("the origin has stopped listening", || !super::listens(address));
    }
}

impl Peer {
    /// Waits for the next request whose end has come; `None`: the connection has ended.
    pub(crate) fn request(&mut self) -> Option<(u32, Stream)> {
        self.request_when(|stream| stream.ended)
    }

    /// Waits for the next request's head.
    pub(crate) fn request_head(&mut self) -> Option<(u32, Stream)> {
        self.request_when(|stream| !stream.heads.is_empty())
    }

    fn request_when(&mut self, is_here: impl Fn(&Stream) -> bool) -> Option<(u32, Stream)> {
        loop {
            if let Some(request) = self.find(&is_here) {
                return Some(request);
            }
            self.step().ok()?;
        }
    }

    /// The next request whose end has come already.
    pub(crate) fn request_now(&mut self) -> Option<(u32, Stream)> {
        self.find(&|stream: &Stream| stream.ended)
    }

    fn find(&mut self, is_here: &dyn Fn(&Stream) -> bool) -> Option<(u32, Stream)> {
        let new = self.numbers().into_iter().filter(|number| !self.handed.contains(number));
        let number = new.into_iter().find(|&number| is_here(&self.stream(number)))?;
        self.handed.insert(number);
        let request = self.stream(number);
        if let Some(seen) = &self.seen {
            seen.requests.lock().unwrap().push(request.clone());
        }
        Some((number, request))
    }

    /// Answers with a 200 of this text.
    pub(crate) fn say(&mut self, stream: u32, text: &str) {
        let length = text.len().to_string();
        self.head(stream, &[(":status", "200"), ("content-length", &length)], 0);
        self.data(stream, text.as_bytes(), END_STREAM);
    }
}
