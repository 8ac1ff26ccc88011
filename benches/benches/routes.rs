//! Looking a route up among 10, 1,000 and 10,000, and building their index.
#![expect(missing_docs, reason = "the macros of criterion make functions without docs")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ringway_benches::{get, request, route, rules};
use ringway_config::routes::{Found, Routes};
use ringway_filters::Params;

fn routes(count: usize) -> Option<Routes> {
    Routes::build(rules(count).ok()?, (0..count).map(route).collect(), 1).ok()
}

fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("route lookup");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for count in [10, 1_000, 10_000] {
        let Some(routes) = routes(count) else { continue };
        // A route of each kind from the middle, and a request that none but the catch-all takes.
        let middle = count / 2 / 6 * 6;
        let cases = [
            ("exact", request(middle), middle),
            ("prefix", request(middle + 1), middle + 1),
            ("pattern", request(middle + 2), middle + 2),
            ("catch-all", ("elsewhere.org".to_owned(), "/nothing/like/it".to_owned()), count - 1),
        ];
        for (kind, (host, path), expected) in &cases {
            let want = get(host, path);
            let (mut params, mut allow) = (Params::default(), String::new());
            let found = match routes.look_up(&want, &mut params, &mut allow) {
                Found::Route(id) => Some(id.0 as usize),
                Found::MethodNotAllowed(_) | Found::Nothing => None,
            };
            assert_eq!(found, Some(*expected), "{kind} among {count}");
            group.bench_function(BenchmarkId::new(*kind, count), |b| {
                b.iter(|| routes.look_up(black_box(&want), &mut params, &mut allow) == Found::Nothing);
            });
        }
    }
    group.finish();
}

/// One route after the other, so that none is found in the caches because it was just looked up.
fn look_up_each(c: &mut Criterion) {
    let count = 10_000;
    let Some(routes) = routes(count) else { return };
    let asked: Vec<_> = (0..count - 1).map(|n| request(n * 7_919 % (count - 1))).collect();
    let (mut params, mut allow) = (Params::default(), String::new());
    let mut next = asked.iter().cycle();
    c.bench_function("route lookup/each of 10000 in turn", |b| {
        b.iter(|| {
            let Some((host, path)) = next.next() else { return false };
            routes.look_up(&get(host, path), &mut params, &mut allow) == Found::Nothing
        });
    });
}

fn build(c: &mut Criterion) {
    c.bench_function("build 10,000 routes", |b| {
        let rules = rules(10_000).unwrap_or_default();
        let made = || (rules.clone(), (0..rules.len()).map(route).collect::<Vec<_>>());
        b.iter_batched(made, |(rules, list)| Routes::build(rules, list, 1), BatchSize::PerIteration);
    });
}

criterion_group!(benches, look_up, look_up_each, build);
criterion_main!(benches);
