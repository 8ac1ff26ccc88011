//! Reading large chunked bodies.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway_http::h1::BodyReader;
use ringway_http::{Framing, Limits};

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

criterion_group!(benches, chunked);
criterion_main!(benches);
