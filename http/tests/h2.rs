//! Both ends of an HTTP/2 connection, in memory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use ringway_http::h1::BodySize;
use ringway_http::h2::{Client, Incoming, Outgoing, Requests, Scheme, Server, Settings};
use ringway_http::{Fields, Framing, Limits, Method, RequestHead, ResponseHead, Version};

/// A client and a server, and what goes between them.
struct Pair {
    client: Client<Bytes>,
    requests: Requests<Bytes>,
    server: Server<Bytes>,
    wire: Vec<u8>,
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Pair {
    fn new(settings: &Settings) -> Self {
        let (client, requests) = Client::new(settings).unwrap();
        Self { client, requests, server: Server::new(settings), wire: Vec::new() }
    }

    /// Moves bytes both ways until nothing moves; the streams that were opened.
    fn run(&mut self) -> Vec<Incoming<Bytes>> {
        let mut opened = Vec::new();
        loop {
            assert!(self.client.poll(&mut context()).is_pending());
            let mut moved = self.client.take_output(&mut self.wire);
            self.server.feed(&self.wire, Duration::ZERO).unwrap();
            self.wire.clear();
            while let Poll::Ready(stream) = self.server.poll(&mut context()) {
                opened.push(stream.unwrap().unwrap());
            }
            moved += self.server.take_output(&mut self.wire);
            self.client.feed(&self.wire, Duration::ZERO).unwrap();
            self.wire.clear();
            if moved == 0 {
                return opened;
            }
        }
    }
}

fn get(fields: &Fields) -> Outgoing<'_> {
    Outgoing {
        method: "GET",
        scheme: Scheme::Https,
        authority: "example.com",
        path: "/a/b?c",
        fields,
        framing: Framing::None,
        te_trailers: false,
        protocol: None,
    }
}

fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

#[test]
fn a_request_is_answered() {
    let mut pair = Pair::new(&Settings::default());
    let mut fields = Fields::new();
    fields.push("X-A", b"1").unwrap();
    let (mut response, _outbound) = pair.requests.send(&get(&fields), true).unwrap();
    let incoming = pair.run().pop().unwrap();
    let mut head = RequestHead::new();
    incoming.read_head(&Limits::default(), &mut head).unwrap();
    assert_eq!((head.method, head.version, head.framing), (Method::Get, Version::Http2, Framing::None));
    assert_eq!((head.path(), head.query(), head.host()), ("/a/b", Some("c"), "example.com"));
    assert_eq!(head.fields.value("x-a"), Some(&b"1"[..]));
    let (_body, mut respond) = incoming.into_halves();
    let mut out = respond.send_head(200, &Fields::new(), BodySize::Known(5), false).unwrap();
    out.reserve(5);
    assert_eq!(ready(out.poll_capacity(&mut context())), Ok(5));
    out.send(Bytes::from_static(b"hello"), true).unwrap();
    pair.run();
    let mut head = ResponseHead::new();
    let mut body = ready(response.poll(&mut context(), &Limits::default(), &mut head)).unwrap();
    assert_eq!((head.status, head.framing), (200, Framing::Length(5)));
    let data = ready(body.poll_data(&mut context())).unwrap().unwrap();
    assert_eq!(data, "hello");
    body.release(data.len());
    assert!(ready(body.poll_data(&mut context())).is_none());
    assert_eq!(ready(body.poll_trailers(&mut context(), &Limits::default(), &mut Fields::new())), Ok(false));
}
