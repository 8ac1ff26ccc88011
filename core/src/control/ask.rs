//! Asks what one health check asks, on a connection of its own in the upstream's protocol, and judges the answer.
//! `probe` says when.

use std::fmt::Display;

use ringway_config::snapshot::{Protocol, Question};
use ringway_http::h1::{HeadReader, write_request};
use ringway_http::{Fields, Framing, Limits, Method, ResponseHead};

use super::health::{Identity, Secure, Wanted};
use super::probe::Tools;
use crate::net::tls::{self, Alpn};
use crate::net::{self, Buffers, Deadline, Reader, Writer};

mod http2;

/// What asks is called.
const USER_AGENT: &[u8] = b"ringway-health";

/// A connection for one question.
struct Link<'a> {
    reader: Reader,
    writer: Writer,
    /// The check's timeout.
    deadline: Deadline,
    wanted: &'a Wanted,
    tools: &'a Tools,
}

/// Whether the member is well; otherwise what is wrong, in words.
pub(super) async fn ask(member: &Identity, wanted: &Wanted, tools: &Tools) -> Result<(), String> {
    let (link, alpn) = dial(member, wanted, tools).await?;
    match (&wanted.check.question, alpn) {
        (Question::Http { path, expect, .. }, alpn) => {
            let status = match alpn {
                Alpn::H1 => http1(link, path).await?,
                Alpn::H2 => http2::status(link, path).await?,
            };
            if expect.contains(&status) { Ok(()) } else { Err(format!("status {status}")) }
        }
        (Question::Grpc { service }, Alpn::H2) => http2::call(link, service).await,
        (Question::Grpc { .. }, Alpn::H1) => Err("it chose HTTP/1.1, and gRPC needs HTTP/2".to_owned()),
    }
}

/// Connects, and makes the handshake where TLS is spoken. Says what is spoken within.
async fn dial<'a>(
    member: &Identity,
    wanted: &'a Wanted,
    tools: &'a Tools,
) -> Result<(Link<'a>, Alpn), String> {
    let deadline = tools.timers.deadline();
    deadline.set(tools.clock.now().after(wanted.check.timeout));
    let stream = net::connect(&member.address, &deadline).await.map_err(text)?;
    let (mut reader, mut writer) = stream.split(&tools.buffers);
    let mut alpn = if wanted.protocol == Protocol::Http2 { Alpn::H2 } else { Alpn::H1 };
    if let Some(Secure { config, name, .. }) = &wanted.tls {
        let name = name.clone().ok_or("its TLS has no name to ask for")?;
        let shaken = Box::pin(tls::connect(&mut reader, &mut writer, config, name, &deadline)).await;
        let chosen = shaken.map_err(|error| format!("TLS: {error}"))?.alpn;
        if alpn == Alpn::H2 && chosen != Alpn::H2 {
            return Err("TLS: it does not speak HTTP/2".to_owned());
        }
        alpn = chosen;
    }
    Ok((Link { reader, writer, deadline, wanted, tools }, alpn))
}

/// The status of the answer to a GET over HTTP/1.1.
async fn http1(mut link: Link<'_>, path: &str) -> Result<u16, String> {
    let fields = fields(&[("Accept", b"*/*"), ("Connection", b"close")]);
    let mut request = link.tools.buffers.take(Buffers::SMALL);
    write_request(request.append(), "GET", path, &link.wanted.host, &fields, Framing::None, None);
    link.writer.send(request, &link.deadline).await.map_err(text)?;

    let (limits, mut heads, mut head) = (Limits::default(), HeadReader::new(), ResponseHead::new());
    let mut input = Vec::new();
    loop {
        match heads.response(&input, &limits, Method::Get, &mut head).map_err(text)? {
            Some(used) if head.is_interim() => drop(input.drain(..used)),
            Some(_) => return Ok(head.status),
            None => match link.reader.recv(&link.deadline).await.map_err(text)? {
                Some(bytes) => input.extend_from_slice(bytes.filled()),
                None => return Err(CLOSED.to_owned()),
            },
        }
    }
}

const CLOSED: &str = "closed before an answer";

/// The fields of a question, besides who asks. They are valid ones.
fn fields(more: &[(&str, &[u8])]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in [("User-Agent", USER_AGENT)].iter().chain(more) {
        let _valid = fields.push(name, value);
    }
    fields
}

fn text(error: impl Display) -> String {
    error.to_string()
}
