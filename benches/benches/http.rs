//! Reading and writing heads, and chunked bodies.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway_http::h1::{self, BodyReader, BodySize, HeadReader};
use ringway_http::{Framing, Limits, Method, Persistence, RequestHead, ResponseHead, Version};

const SHORT: &[u8] = b"GET /users/7 HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

const BROWSER: &[u8] = b"GET /api/v1/users/7/posts?page=2&size=50 HTTP/1.1\r\nHost: api.example.com\r\n\
    Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.com/users\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nAuthorization: Bearer 0123456789abcdef\r\n\
    If-None-Match: \"0123456789abcdef\"\r\nX-Request-ID: 0123456789abcdef\r\n\r\n";

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 500\r\nServer: origin\r\nETag: \"0123456789abcdef\"\r\nCache-Control: no-cache\r\n\r\n";

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("http");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    let limits = Limits::default();
    let mut request = RequestHead::new();
    for (name, wire) in [("parse a short request", SHORT), ("parse a browser's request", BROWSER)] {
        let mut reader = HeadReader::new();
        assert_eq!(reader.request(wire, &limits, &mut request), Ok(Some(wire.len())));
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_function(name, |b| b.iter(|| reader.request(black_box(wire), &limits, &mut request)));
    }
    let mut out = Vec::with_capacity(4096);
    group.bench_function("write a browser's request", |b| {
        b.iter(|| {
            out.clear();
            let path = "/users/7/posts?page=2&size=50";
            h1::write_request(&mut out, "GET", path, "api.internal:80", &request.fields, Framing::None, None);
            out.len()
        });
    });
    let (mut reader, mut response) = (HeadReader::new(), ResponseHead::new());
    assert_eq!(reader.response(RESPONSE, &limits, Method::Get, &mut response), Ok(Some(RESPONSE.len())));
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("parse a response", |b| {
        b.iter(|| reader.response(black_box(RESPONSE), &limits, Method::Get, &mut response));
    });
    group.bench_function("write a response", |b| {
        b.iter(|| {
            out.clear();
            let (size, version) = (BodySize::Known(500), Version::Http11);
            let fields = &response.fields;
            h1::write_response(&mut out, version, 200, fields, size, Persistence::KeepAlive, None).1
        });
    });
    group.finish();
}

fn chunked(c: &mut Criterion) {
    let mut wire = Vec::new();
    for _ in 0..16 {
        wire.extend_from_slice(b"1000\r\n");
        wire.extend_from_slice(&[b'x'; 0x1000]);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    let limits = Limits::default();
    let mut group = c.benchmark_group("http");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Bytes(wire.len() as u64));
    let mut reader = BodyReader::new(Framing::Chunked, &limits);
    group.bench_function("read 16 chunks of 4 KiB", |b| {
        b.iter(|| {
            reader.reset(Framing::Chunked, &limits);
            let mut left = black_box(wire.as_slice());
            while !reader.is_done() {
                let Ok(step) = reader.step(left) else { return false };
                left = left.get(step.consumed..).unwrap_or_default();
            }
            left.is_empty()
        });
    });
    group.finish();
}

criterion_group!(benches, heads, chunked);
criterion_main!(benches);
