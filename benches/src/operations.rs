//! The pure operations of a request's way: what criterion times, and what is counted under callgrind.
//!
//! Each is a closure with its memory already there, which does the same thing each time it is called and returns a
//! number, so that nothing of it can be left out.
#![expect(clippy::unnecessary_wraps, reason = "all operations are made in the same way")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ringway_config::Snapshot;
use ringway_config::load::{Names, Secrets, load_str};
use ringway_config::regex::Scratch;
use ringway_config::routes::Found;
use ringway_config::snapshot::ListenerId;
use ringway_core::measured::{Ids, Members, tell_upstream};
use ringway_filters::{Chain, ChainState, Facts, Params};
use ringway_http::h1::{self, BodyReader, BodySize, BodyWriter, HeadReader};
use ringway_http::{Fields, Framing, Limits, Method, Persistence, RequestHead, ResponseHead, Version};

/// An operation, ready to be done any number of times.
pub type Step = Box<dyn FnMut() -> usize>;

/// A named operation.
pub struct Operation {
    /// What it is called in the budget.
    pub name: &'static str,
    /// Prepares it.
    pub make: fn() -> Result<Step>,
}

/// What the loop around an operation costs by itself.
pub const NOTHING: Operation = Operation { name: "nothing", make: || Ok(Box::new(|| black_box(1))) };

/// All of them.
pub const ALL: &[Operation] = &[
    Operation { name: "parse a request of wrk", make: || parse_request(WRK) },
    Operation { name: "parse a request of curl", make: || parse_request(CURL) },
    Operation { name: "parse a request of a browser", make: || parse_request(BROWSER) },
    Operation { name: "parse a response", make: parse_response },
    Operation { name: "find a route among 1", make: || find_route(1) },
    Operation { name: "find a route among 1000", make: || find_route(1_000) },
    Operation { name: "parse and run five header operations", make: run_chain },
    Operation { name: "parse and tell the upstream who asks", make: tell },
    Operation { name: "write a request", make: write_request },
    Operation { name: "write a response", make: write_response },
    Operation { name: "read a body of known length", make: || read_body(Framing::Length(500), &[b'x'; 500]) },
    Operation { name: "read a body of 4 chunks", make: || read_body(Framing::Chunked, FOUR_CHUNKS) },
    Operation { name: "write a body of 4 chunks", make: write_chunks },
    Operation { name: "pick among 1 member", make: || pick(&[1]) },
    Operation { name: "pick among 8 members", make: || pick(&[5, 1, 1, 3, 2, 2, 1, 1]) },
    Operation { name: "make a request id", make: make_id },
    Operation { name: "all of an exchange's heads", make: exchange },
    Operation { name: "read a request of HTTP/2", make: crate::h2::read_request },
    Operation { name: "write a request in HTTP/2", make: crate::h2::write_request },
    Operation { name: "write a response in HTTP/2", make: crate::h2::write_response },
    Operation { name: "an exchange between both ends of HTTP/2", make: crate::h2::exchange },
];

const WRK: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const CURL: &[u8] =
    b"GET /users/7 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n";

/// A request as Firefox sends it.
pub const BROWSER: &[u8] = b"GET /api/v1/users/7/posts?page=2&size=50 HTTP/1.1\r\nHost: api.example.com\r\n\
    Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.com/users\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nAuthorization: Bearer 0123456789abcdef\r\n\
    If-None-Match: \"0123456789abcdef\"\r\nX-Request-ID: 0123456789abcdef\r\n\r\n";

/// A response's head, as an application sends it.
pub const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 500\r\nServer: origin\r\nETag: \"0123456789abcdef\"\r\nCache-Control: no-cache\r\n\r\n";

const FOUR_CHUNKS: &[u8] = b"4\r\nWiki\r\n7\r\npedia i\r\nB\r\nn \r\nchunks.\r\n1\r\nx\r\n0\r\n\r\n";

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 57));

/// One route to one upstream, with five header operations.
const FILE: &str = r#"
[listeners.main]
bind = "127.0.0.1:8080"
[routes.users]
match = { pattern = "/users/{id}" }
upstream = "origin"
request = { set = { X-User = "$param.id", X-Client = "$client_ip" }, remove = ["X-Debug"] }
response = { set = { X-Route = "$route" }, add = { X-Id = "$request_id" } }
[upstreams.origin]
endpoints = ["127.0.0.1:3000"]
"#;

fn load(text: &str) -> Result<Snapshot> {
    let loaded = load_str("bench.toml", text, Path::new("/"), &mut Names::default(), Secrets::Ignore);
    Ok(loaded.map_err(|errors| anyhow::anyhow!("{errors}"))?.snapshot)
}

fn parsed(wire: &[u8]) -> Result<RequestHead> {
    let mut head = RequestHead::new();
    HeadReader::new().request(wire, &Limits::default(), &mut head)?.context("not a whole head")?;
    Ok(head)
}

fn facts() -> Facts {
    let mut facts = Facts { client_ip: PEER, ..Facts::default() };
    facts.host.push_str("api.example.com");
    facts.request_id.push_str("0123456789abcdef0123456789abcdef");
    facts.route.push_str("users");
    facts.params.push("id", "7");
    facts
}

fn parse_request(wire: &'static [u8]) -> Result<Step> {
    let (mut reader, mut head, limits) = (HeadReader::new(), parsed(wire)?, Limits::default());
    Ok(Box::new(move || {
        let read = reader.request(black_box(wire), &limits, &mut head);
        read.ok().flatten().unwrap_or_default()
    }))
}

fn parse_response() -> Result<Step> {
    let (mut reader, mut head, limits) = (HeadReader::new(), ResponseHead::new(), Limits::default());
    Ok(Box::new(move || {
        let read = reader.response(black_box(RESPONSE), &limits, Method::Get, &mut head);
        read.ok().flatten().unwrap_or_default()
    }))
}

fn find_route(count: usize) -> Result<Step> {
    let snapshot = load(&crate::file(count))?;
    // A pattern's route from the middle, or the only one there is.
    let (_, path) = crate::request(if count == 1 { 0 } else { count / 2 / 3 * 3 + 2 });
    let head = parsed(format!("GET {path} HTTP/1.1\r\nHost: api.example.com\r\n\r\n").as_bytes())?;
    let (mut params, mut scratch, mut allow) = (Params::default(), Scratch::default(), String::new());
    let mut find = move || {
        let routes = &snapshot.routes;
        match routes.find(ListenerId(0), black_box(&head), &mut params, &mut scratch, &mut allow) {
            Found::Route(id) => id.0 as usize + 1,
            Found::MethodNotAllowed(_) | Found::Nothing => 0,
        }
    };
    ensure!(find() > 0, "{path} is nobody's");
    Ok(Box::new(find))
}

fn run_chain() -> Result<Step> {
    let snapshot = load(FILE)?;
    let chain = Chain::seat(&snapshot.routes.all().first().context("no route")?.filters, None);
    let (mut state, mut facts, limits) = (ChainState::default(), facts(), Limits::default());
    let (mut request, mut response) = (RequestHead::new(), ResponseHead::new());
    Ok(Box::new(move || {
        let _ = HeadReader::new().request(black_box(CURL), &limits, &mut request);
        response.clear();
        let _ = chain.on_request_head(&mut state, &mut request, &mut facts);
        chain.on_response_head(&mut state, &mut response, &facts);
        request.fields.len() + response.fields.len()
    }))
}

fn tell() -> Result<Step> {
    let (mut head, facts, limits) = (parsed(CURL)?, facts(), Limits::default());
    let mut text = String::new();
    Ok(Box::new(move || {
        let _ = HeadReader::new().request(black_box(CURL), &limits, &mut head);
        tell_upstream(&mut head, &facts, PEER, &mut text);
        head.fields.len()
    }))
}

fn write_request() -> Result<Step> {
    let mut head = parsed(CURL)?;
    tell_upstream(&mut head, &facts(), PEER, &mut String::new());
    let mut out = Vec::with_capacity(4096);
    Ok(Box::new(move || {
        out.clear();
        let head = black_box(&head);
        h1::write_request(&mut out, "GET", head.path(), head.authority(), &head.fields, Framing::None, None);
        out.len()
    }))
}

fn write_response() -> Result<Step> {
    let (mut head, mut out) = (ResponseHead::new(), Vec::with_capacity(4096));
    HeadReader::new().response(RESPONSE, &Limits::default(), Method::Get, &mut head)?;
    Ok(Box::new(move || {
        out.clear();
        let (fields, size) = (&black_box(&head).fields, BodySize::Known(500));
        h1::write_response(&mut out, Version::Http11, 200, fields, size, Persistence::KeepAlive, None);
        out.len()
    }))
}

fn read_body(framing: Framing, wire: &'static [u8]) -> Result<Step> {
    let limits = Limits::default();
    let mut reader = BodyReader::new(framing, &limits);
    let mut read = move || {
        reader.reset(framing, &limits);
        let (mut left, mut steps) = (black_box(wire), 0);
        while !reader.is_done() {
            let Ok(step) = reader.step(left) else { return 0 };
            left = left.get(step.consumed..).unwrap_or_default();
            steps += 1;
        }
        steps
    };
    ensure!(read() > 0, "not a body");
    Ok(Box::new(read))
}

fn write_chunks() -> Result<Step> {
    let (mut out, none) = (Vec::with_capacity(4096), Fields::new());
    Ok(Box::new(move || {
        out.clear();
        let mut writer = BodyWriter::new(Framing::Chunked);
        for data in [&[b'a'; 4][..], &[b'b'; 100], &[b'c'; 1], &[b'd'; 1000]] {
            let _ = writer.before_data(black_box(data).len(), &mut out);
            out.extend_from_slice(data);
            writer.after_data(&mut out);
        }
        let _ = writer.finish(&none, &mut out);
        out.len()
    }))
}

fn pick(weights: &[u32]) -> Result<Step> {
    let members = Members::new(weights);
    ensure!(members.pick().is_some(), "nobody to pick");
    Ok(Box::new(move || members.pick().map_or(0, |weight| weight as usize)))
}

fn make_id() -> Result<Step> {
    let (ids, mut out) = (Ids::default(), String::new());
    Ok(Box::new(move || {
        out.clear();
        ids.append(&mut out);
        out.len()
    }))
}

/// Everything that is done to the heads of a small exchange, from the client's bytes to the client's bytes.
fn exchange() -> Result<Step> {
    let snapshot = load(&crate::file(1))?;
    let wire = format!("GET {} HTTP/1.1\r\nHost: api.example.com\r\n\r\n", crate::request(0).1);
    let (mut request, mut response, limits) = (RequestHead::new(), ResponseHead::new(), Limits::default());
    let (mut facts, ids, members) = (Facts::default(), Ids::default(), Members::new(&[1]));
    let (mut scratch, mut text, mut out) = (Scratch::default(), String::new(), Vec::with_capacity(4096));
    facts.client_ip = PEER;
    let mut run = move || -> Option<usize> {
        out.clear();
        facts.clear();
        HeadReader::new().request(black_box(wire.as_bytes()), &limits, &mut request).ok()??;
        facts.host.push_str(request.host());
        ids.append(&mut facts.request_id);
        let routes = &snapshot.routes;
        let Found::Route(id) =
            routes.find(ListenerId(0), &request, &mut facts.params, &mut scratch, &mut text)
        else {
            return None;
        };
        request.fields.remove_hop_by_hop();
        tell_upstream(&mut request, &facts, PEER, &mut text);
        members.pick()?;
        let (path, authority) = (request.path(), request.authority());
        h1::write_request(&mut out, "GET", path, authority, &request.fields, request.framing, None);
        HeadReader::new().response(black_box(RESPONSE), &limits, Method::Get, &mut response).ok()??;
        response.fields.remove_hop_by_hop();
        let (fields, size) = (&response.fields, BodySize::Known(500));
        h1::write_response(
            &mut out,
            Version::Http11,
            response.status,
            fields,
            size,
            Persistence::KeepAlive,
            None,
        );
        Some(out.len() + id.0 as usize)
    };
    ensure!(run().is_some(), "the exchange fails");
    Ok(Box::new(move || run().unwrap_or_default()))
}
