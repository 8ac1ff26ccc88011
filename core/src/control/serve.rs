//! A small HTTP server for the metrics and admin pages, on control's own runtime: one request per connection,
//! few connections, little time.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use ringway_http::h1::{BodySize, HeadReader, write_response};
use ringway_http::{Fields, Limits, Method, Persistence, RequestHead};

use crate::clock::Clock;
use crate::net::{self, Acceptor, Buffers, Deadline, NetError, Reader, Stream, Timers};

/// Connections at a time; more wait in the socket's queue.
const CONNECTIONS_MAX: usize = 32;
/// For a connection, from its accept to its end.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after an accept that failed (EMFILE) or found no place.
const BACK_OFF: Duration = Duration::from_millis(50);
/// What is read and thrown away after an answer, so that closing does not reset it.
const LEFTOVER_MAX: usize = 64 * 1024;

/// A page's answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: u16,
    /// Its `Content-Type`.
    pub(super) content_type: &'static str,
    /// Its body.
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// JSON.
    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", body }
    }
    /// Plain text.
    pub(super) fn text(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.as_bytes().to_vec() }
    }
}

/// Answers a path.
pub(super) type Pages = Rc<dyn Fn(&str) -> Reply>;

/// What a server works with.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) clock: Clock,
    pub(super) timers: Rc<Timers>,
    pub(super) buffers: Rc<Buffers>,
}

/// A running server; dropping it closes its socket and lets its connections end.
#[derive(Debug)]
pub(super) struct Server {
    stop: Rc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.stopped.set(true);
        let waker = self.stop.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Server {
    /// Serves pages on a socket.
    pub(super) fn start(acceptor: Acceptor, pages: Pages, tools: Tools) -> Self {
        let stop = Rc::new(Stop::default());
        net::spawn(accept(acceptor, pages, tools, Rc::clone(&stop)));
        Self { stop }
    }
}

async fn accept(mut acceptor: Acceptor, pages: Pages, tools: Tools, stop: Rc<Stop>) {
    let open = Rc::new(Cell::new(0));
    loop {
        if open.get() >= CONNECTIONS_MAX {
            net::sleep(BACK_OFF).await;
            continue;
        }
        match unless_stopped(&stop, acceptor.accept()).await {
            None => return,
            Some(Err(_)) => net::sleep(BACK_OFF).await,
            Some(Ok(stream)) => {
                open.set(open.get() + 1);
                let (open, pages, tools) = (Rc::clone(&open), Rc::clone(&pages), tools.clone());
                net::spawn(async move {
                    // A client that goes away has no one to be told of.
                    drop(converse(stream, &pages, &tools).await);
                    open.set(open.get() - 1);
                });
            }
        }
    }
}

/// The future's output, or nothing once stopped. The future must lose nothing when dropped.
async fn unless_stopped<T>(
    stop: &Stop,
    future: impl Future<Output = io::Result<T>>,
) -> Option<io::Result<T>> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        if stop.stopped.get() {
            return Poll::Ready(None);
        }
        *stop.waker.borrow_mut() = Some(cx.waker().clone());
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn converse(stream: Stream, pages: &Pages, tools: &Tools) -> Result<(), NetError> {
    let deadline = tools.timers.deadline();
    deadline.set(tools.clock.now().after(TIMEOUT));
    let (mut reader, mut writer) = stream.split(&tools.buffers);

    let (limits, mut heads, mut head) = (Limits::default(), HeadReader::new(), RequestHead::new());
    let mut input = Vec::new();
    let (reply, method) = loop {
        match heads.request(&input, &limits, &mut head) {
            Err(error) => break (Reply::text(error.status(), "bad request\n"), Method::Get),
            Ok(Some(_)) => match head.method {
                Method::Get | Method::Head => break (pages(head.path()), head.method),
                Method::Post
                | Method::Put
                | Method::Delete
                | Method::Connect
                | Method::Options
                | Method::Trace
                | Method::Patch
                | Method::Other => break (Reply::text(405, "only GET and HEAD\n"), Method::Get),
            },
            Ok(None) => match reader.recv(&deadline).await? {
                Some(bytes) => input.extend_from_slice(bytes.filled()),
                None => return Ok(()),
            },
        }
    };

    let mut fields = Fields::new();
    let length = reply.body.len().to_string();
    let mut add = |name: &str, value: &str| {
        let _valid = fields.push(name, value.as_bytes());
    };
    add("Content-Type", reply.content_type);
    add("Cache-Control", "no-store");
    if reply.status == 405 {
        add("Allow", "GET, HEAD");
    }
    let size = if method == Method::Head {
        add("Content-Length", &length);
        BodySize::Forbidden
    } else {
        BodySize::Known(reply.body.len() as u64)
    };
    let mut answer = tools.buffers.take(Buffers::SMALL.max(reply.body.len() + 1024));
    let out = answer.append();
    write_response(out, head.version, reply.status, &fields, size, Persistence::Close, None);
    if method != Method::Head {
        out.extend_from_slice(&reply.body);
    }
    writer.send(answer, &deadline).await?;
    writer.finish();
    read_rest(&mut reader, &deadline).await
}

/// Reads until the client has closed, up to a bound.
async fn read_rest(reader: &mut Reader, deadline: &Deadline) -> Result<(), NetError> {
    let mut left = LEFTOVER_MAX;
    while let Some(bytes) = reader.recv(deadline).await? {
        left = left.saturating_sub(bytes.len());
        if left == 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpStream};

    use ringway_config::snapshot::{Address, Driver};

    use super::*;
    use crate::net::Sharing;

    /// What a client gets for some bytes, after which it sends no more.
    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Serves a page that says its path, while a client on another thread asks.
    fn serving<T: Send + 'static>(client: impl FnOnce(SocketAddr) -> T + Send + 'static) -> T {
        let any = Address::Socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let bound = net::bind(&any, 1, Sharing::Refuse).unwrap().pop().unwrap();
        let address = bound.local().unwrap();
        let (done, mut finished) = net::mailbox(1).unwrap();
        let asking = std::thread::Builder::new().spawn(move || {
            let result = client(address);
            done.send(()).unwrap();
            result
        });
        net::run(Driver::Auto, |_driver| async move {
            let tools = Tools { clock: Clock::new(), timers: Timers::start(), buffers: Buffers::new() };
            let pages: Pages = Rc::new(|path| Reply::text(200, path));
            let _server = Server::start(bound.seat().unwrap(), pages, tools);
            finished.recv().await
        })
        .unwrap();
        asking.unwrap().join().unwrap()
    }

    #[test]
    fn a_page_is_served_once_per_connection() {
        let answers = serving(|address| {
            [&b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"HEAD /abc HTTP/1.1\r\nHost: x\r\n\r\n"]
                .map(|request| ask(address, request))
        });
        assert!(answers[0].starts_with("HTTP/1.1 200 "), "{answers:?}");
        assert!(answers[0].ends_with("\r\n\r\n/a"), "{answers:?}");
        assert!(answers[0].to_ascii_lowercase().contains("connection: close"), "{answers:?}");
        assert!(answers[1].contains("Content-Length: 4") && answers[1].ends_with("\r\n\r\n"), "{answers:?}");
    }

    #[test]
    fn what_is_not_a_get_is_refused() {
        let answers = serving(|address| {
            [
                &b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"[..],
                b"nonsense\r\n\r\n",
                b"GET / HT",
            ]
            .map(|request| ask(address, request))
        });
        assert!(
            answers[0].starts_with("HTTP/1.1 405 ") && answers[0].contains("Allow: GET, HEAD"),
            "{answers:?}"
        );
        assert!(answers[1].starts_with("HTTP/1.1 400 "), "{answers:?}");
        assert_eq!(answers[2], "");
    }
}
