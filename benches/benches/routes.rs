//! Looking a route up among 10, 1,000 and 10,000, and building their index.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ringway_benches::{file, get, request, route, rules};
use ringway_config::load::{Names, Secrets, load_str};
use ringway_config::regex::Scratch;
use ringway_config::rewrite::Rewrite;
use ringway_config::routes::{Found, PathRule, Routes};
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
            let (mut params, mut scratch, mut allow) = (Params::default(), Scratch::default(), String::new());
            let found = match routes.look_up(&want, &mut params, &mut scratch, &mut allow) {
                Found::Route(id) => Some(id.0 as usize),
                Found::MethodNotAllowed(_) | Found::Nothing => None,
            };
            assert_eq!(found, Some(*expected), "{kind} among {count}");
            group.bench_function(BenchmarkId::new(*kind, count), |b| {
                b.iter(|| {
                    routes.look_up(black_box(&want), &mut params, &mut scratch, &mut allow) == Found::Nothing
                });
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
    let (mut params, mut scratch, mut allow) = (Params::default(), Scratch::default(), String::new());
    let mut next = asked.iter().cycle();
    c.bench_function("route lookup/each of 10000 in turn", |b| {
        b.iter(|| {
            let Some((host, path)) = next.next() else { return false };
            routes.look_up(&get(host, path), &mut params, &mut scratch, &mut allow) == Found::Nothing
        });
    });
}

fn build(c: &mut Criterion) {
    let Ok(alike) = rules(10_000) else { return };
    // With priorities, each route is also held against those that go before it.
    let mut ranked = alike.clone();
    for (n, rule) in (0..).zip(&mut ranked) {
        rule.priority = if rule.path.matches("/", &mut Scratch::default()) { -1 } else { n % 7 };
    }
    for (name, rules) in [("build 10,000 routes", alike), ("build 10,000 routes of 8 priorities", ranked)] {
        let made = || (rules.clone(), (0..rules.len()).map(route).collect::<Vec<_>>());
        let (first, list) = made();
        assert!(Routes::build(first, list, 1).is_ok(), "{name}");
        c.bench_function(name, |b| {
            b.iter_batched(made, |(rules, list)| Routes::build(rules, list, 1), BatchSize::PerIteration);
        });
    }
}

/// What a reload costs control before it publishes.
fn load(c: &mut Criterion) {
    let text = file(10_000);
    let loaded = load_str("bench.toml", &text, Path::new("/"), &mut Names::default(), Secrets::Ignore);
    assert_eq!(loaded.map(|loaded| loaded.snapshot.routes.all().len()).ok(), Some(10_000));
    let mut group = c.benchmark_group("reload");
    group.sample_size(20);
    group.bench_function("load a file of 10,000 routes", |b| {
        let mut names = Names::default();
        b.iter(|| load_str("bench.toml", &text, Path::new("/"), &mut names, Secrets::Ignore).is_ok());
    });
    group.finish();
}

fn rewrite(c: &mut Criterion) {
    let mut group = c.benchmark_group("rewrite");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let (prefix, pattern) = (PathRule::prefix("/api/v1/"), PathRule::pattern("/api/v1/users/{id}"));
    let cases = [
        ("keep", Ok(Rewrite::Keep)),
        ("strip a prefix", prefix.and_then(|rule| Rewrite::strip_prefix(&rule))),
        ("a template", pattern.and_then(|rule| Rewrite::template("/internal/{id}/show", &rule))),
        ("a regex", Rewrite::regex("^/api/v1/users", "/users")),
        ("a regex with groups", Rewrite::regex("^/api/v([0-9]+)/users", "/users/v$1")),
    ];
    let mut params = Params::default();
    params.push("id", "1234567");
    let mut scratch = Scratch::default();
    for (name, rewrite) in cases {
        let Ok(rewrite) = rewrite else { continue };
        let mut out = String::with_capacity(256);
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                rewrite.apply(black_box("/api/v1/users/1234567"), &params, &mut scratch, &mut out);
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, look_up, look_up_each, build, load, rewrite);
criterion_main!(benches);
