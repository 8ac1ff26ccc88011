//! Counts what looking a route up and rewriting its path allocate once their memory is there: nothing, on any
//! thread.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod counting;

use std::path::Path;
use std::sync::Barrier;

use counting::allocations;
use ringway_config::load::{Names, Secrets, load_str};
use ringway_config::regex::Scratch;
use ringway_config::routes::Found;
use ringway_config::snapshot::{ListenerId, Snapshot};
use ringway_filters::Params;
use ringway_http::h1::HeadReader;
use ringway_http::{Limits, RequestHead};

const FILE: &str = r#"
[listeners.main]
bind = "127.0.0.1:8080"
[routes.exact]
match = { path = "/exact", hosts = ["a.example.com"] }
upstream = "origin"
[routes.wild]
match = { prefix = "/wild", hosts = ["*.example.com"], headers = { X-Beta = "1" }, query = { v = "a b" } }
upstream = "origin"
strip_prefix = true
[routes.pattern]
match = { pattern = "/users/{id}/{rest...}", methods = ["GET", "PURGE"] }
upstream = "origin"
rewrite = { to = "/internal/{id}/x/{rest...}" }
[routes.regex]
match = { regex = "^/v[0-9]+/" }
upstream = "origin"
rewrite = { regex = "^/v([0-9]+)/(?<name>[a-z]+)", to = "/${name}/$1" }
[upstreams.origin]
endpoints = ["127.0.0.1:3000"]
"#;

const REQUESTS: [(&str, &str); 7] = [
    ("GET /exact HTTP/1.1\r\nHost: a.example.com\r\n\r\n", "/exact"),
    ("GET /wild/x?v=a+b HTTP/1.1\r\nHost: b.c.example.com:80\r\nX-Beta: 1\r\n\r\n", "/x"),
    ("GET /users/7/a/b HTTP/1.1\r\nHost: a\r\n\r\n", "/internal/7/x/a/b"),
    ("HEAD /users/7 HTTP/1.1\r\nHost: a\r\n\r\n", "/internal/7/x/"),
    ("GET /v12/list/3 HTTP/1.1\r\nHost: a\r\n\r\n", "/list/12/3"),
    ("DELETE /users/7/a HTTP/1.1\r\nHost: a\r\n\r\n", "GET, HEAD, PURGE"),
    ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", ""),
];

/// What a worker keeps from request to request.
#[derive(Default)]
struct Memory {
    params: Params,
    scratch: Scratch,
    allow: String,
    path: String,
}

fn look_up(snapshot: &Snapshot, request: &RequestHead, memory: &mut Memory, expected: &str) {
    let Memory { params, scratch, allow, path } = memory;
    path.clear();
    match snapshot.routes.find(ListenerId(0), request, params, scratch, allow) {
        Found::Route(id) => {
            let route = snapshot.routes.route(id).expect("a route that was found");
            route.rewrite.apply(request.path(), params, scratch, path);
        }
        Found::MethodNotAllowed(allow) => path.push_str(allow),
        Found::Nothing => {}
    }
    assert_eq!(path, expected);
}

/// A file's snapshot, and requests with what is expected of each.
fn prepare() -> (Snapshot, [(RequestHead, &'static str); 7]) {
    let loaded = load_str("test.toml", FILE, Path::new("/"), &mut Names::default(), Secrets::Ignore);
    let requests = REQUESTS.map(|(wire, expected)| {
        let mut head = RequestHead::new();
        let end = HeadReader::new().request(wire.as_bytes(), &Limits::default(), &mut head);
        assert_eq!(end, Ok(Some(wire.len())));
        (head, expected)
    });
    (loaded.expect("a valid file").snapshot, requests)
}

/// Allocations of so many rounds on this thread.
fn allocated(
    snapshot: &Snapshot,
    requests: &[(RequestHead, &str)],
    memory: &mut Memory,
    rounds: usize,
) -> u64 {
    let before = allocations();
    for (request, expected) in std::iter::repeat_n(requests, rounds).flatten() {
        look_up(snapshot, request, memory, expected);
    }
    allocations() - before
}

#[test]
fn routing_allocates_nothing_per_request_in_the_steady_state() {
    let (snapshot, requests) = prepare();
    let mut memory = Memory::default();
    let first = allocated(&snapshot, &requests, &mut memory, 1);
    assert!(first > 0, "the first requests make the memory, or the count is broken");
    assert_eq!(allocated(&snapshot, &requests, &mut memory, 1000), 0, "allocations in 7,000 requests");
}

/// Regular expressions are shared, and what searches write to is not: no thread waits for another, or makes do
/// without what it had because another is at work.
#[test]
fn threads_that_search_at_once_allocate_nothing_in_the_steady_state() {
    let (snapshot, requests) = prepare();
    // Those of the route that both matches and rewrites by a regular expression.
    let requests: Vec<_> = requests.into_iter().filter(|(head, _)| head.path().starts_with("/v12")).collect();
    assert_eq!(requests.len(), 1);
    // More of them than any pool would keep places for.
    let threads = 12;
    let started = Barrier::new(threads);
    let run = || {
        let mut memory = Memory::default();
        let first = allocated(&snapshot, &requests, &mut memory, 1);
        started.wait();
        (first, allocated(&snapshot, &requests, &mut memory, 20_000))
    };
    let counts: Vec<_> = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        spawned.into_iter().map(|thread| thread.join().expect("a thread that ends well")).collect()
    });
    for (first, then) in counts {
        assert!(first > 0, "each thread makes memory of its own");
        assert_eq!(then, 0, "allocations in 20,000 requests");
    }
}
