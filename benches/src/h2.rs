//! What HTTP/2 costs: the translation of heads, and an exchange between both ends in memory.

use std::hint::black_box;
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringway_http::h1::{BodySize, HeadReader};
use ringway_http::h2::{Bytes, Client, Incoming, Outgoing, Requests, Scheme, Server, Settings, measured};
use ringway_http::{Fields, Framing, Limits, Method, RequestHead, ResponseHead};

use crate::operations::{BROWSER, RESPONSE, Step};

/// Both ends of a connection.
struct Pair {
    client: Client<Bytes>,
    requests: Requests<Bytes>,
    server: Server<Bytes>,
    wire: Vec<u8>,
}

impl Pair {
    fn new() -> Result<Self> {
        let settings = Settings::default();
        let (client, requests) = Client::new(&settings)?;
        Ok(Self { client, requests, server: Server::new(&settings), wire: Vec::new() })
    }

    /// What the client has to say, to the server: the stream that it opens, if it does.
    fn up(&mut self) -> Option<Incoming<Bytes>> {
        let mut task = Task::from_waker(Waker::noop());
        let _ = self.client.poll(&mut task);
        self.wire.clear();
        self.client.take_output(&mut self.wire);
        self.server.feed(&self.wire, Duration::ZERO).ok()?;
        match self.server.poll(&mut task) {
            Poll::Ready(Ok(stream)) => stream,
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    /// What the server has to say, to the client.
    fn down(&mut self) -> Option<()> {
        let mut task = Task::from_waker(Waker::noop());
        let _ = self.server.poll(&mut task);
        self.wire.clear();
        self.server.take_output(&mut self.wire);
        self.client.feed(&self.wire, Duration::ZERO).ok()?;
        let _ = self.client.poll(&mut task);
        Some(())
    }
}

/// A browser's request.
fn browser() -> Result<RequestHead> {
    let mut head = RequestHead::new();
    HeadReader::new().request(BROWSER, &Limits::default(), &mut head)?.context("not a whole head")?;
    Ok(head)
}

fn response() -> Result<ResponseHead> {
    let mut head = ResponseHead::new();
    HeadReader::new().response(RESPONSE, &Limits::default(), Method::Get, &mut head)?;
    Ok(head)
}

fn outgoing<'a>(path: &'a str, fields: &'a Fields) -> Outgoing<'a> {
    Outgoing {
        method: "GET",
        scheme: Scheme::Https,
        authority: "api.example.com",
        path,
        fields,
        framing: Framing::None,
        te_trailers: false,
        protocol: None,
    }
}

/// From the library's head to ours.
pub(crate) fn read_request() -> Result<Step> {
    let (mut pair, mut head, limits) = (Pair::new()?, browser()?, Limits::default());
    let sent = pair.requests.send(&outgoing("/api/v1/users/7/posts?page=2", &head.fields), true)?;
    let stream = pair.up().context("no stream")?;
    let mut read = move || {
        let _kept = &sent;
        black_box(&stream).read_head(&limits, &mut head).map_or(0, |()| head.fields.len())
    };
    ensure!(read() > 0, "not a request");
    Ok(Box::new(read))
}

/// From our head to the library's.
pub(crate) fn write_request() -> Result<Step> {
    let head = browser()?;
    let write = move || {
        let fields = &black_box(&head).fields;
        measured::write_request(&outgoing("/api/v1/users/7/posts?page=2", fields))
    };
    ensure!(write() > 0, "not a request");
    Ok(Box::new(write))
}

/// From our head to the library's.
pub(crate) fn write_response() -> Result<Step> {
    let head = response()?;
    let write = move || measured::write_response(200, &black_box(&head).fields, BodySize::Known(500));
    ensure!(write() > 0, "not a response");
    Ok(Box::new(write))
}

/// A small request and its answer of 500 bytes, through both ends.
pub(crate) fn exchange() -> Result<Step> {
    let (mut pair, answer, limits) = (Pair::new()?, response()?, Limits::default());
    let (mut request, mut head, none) = (RequestHead::new(), ResponseHead::new(), Fields::new());
    let data = Bytes::from_static(&[b'x'; 500]);
    let mut run = move || -> Option<usize> {
        let mut task = Task::from_waker(Waker::noop());
        let (mut awaited, _upload) = pair.requests.send(&outgoing("/users/7", &none), true).ok()?;
        let stream = pair.up()?;
        stream.read_head(&limits, &mut request).ok()?;
        let (_body, mut respond) = stream.into_halves();
        let mut out = respond.send_head(200, &answer.fields, BodySize::Known(500), false).ok()?;
        out.reserve(data.len());
        let Poll::Ready(Ok(500)) = out.poll_capacity(&mut task) else { return None };
        out.send(data.clone(), true).ok()?;
        pair.down()?;
        let Poll::Ready(Ok(mut body)) = awaited.poll(&mut task, &limits, &mut head) else { return None };
        let Poll::Ready(Some(Ok(data))) = body.poll_data(&mut task) else { return None };
        body.release(data.len());
        Some(data.len() + head.fields.len())
    };
    // The first one says hello, too.
    ensure!(run().is_some() && run().is_some(), "the exchange fails");
    Ok(Box::new(move || run().unwrap_or_default()))
}
