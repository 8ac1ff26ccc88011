//! Counts what looking a route up and rewriting its path allocate once their memory is there: nothing.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod counting;

use std::path::Path;

use counting::allocations;
use ringway_config::load::{Names, Secrets, load_str};
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
    allow: String,
    path: String,
}

fn look_up(snapshot: &Snapshot, request: &RequestHead, memory: &mut Memory, expected: &str) {
    let Memory { params, allow, path } = memory;
    path.clear();
    match snapshot.routes.find(ListenerId(0), request, params, allow) {
        Found::Route(id) => {
            let route = snapshot.routes.route(id).expect("a route that was found");
            route.rewrite.apply(request.path(), params, path);
        }
        Found::MethodNotAllowed(allow) => path.push_str(allow),
        Found::Nothing => {}
    }
    assert_eq!(path, expected);
}

#[test]
fn routing_allocates_nothing_per_request_in_the_steady_state() {
    let loaded = load_str("test.toml", FILE, Path::new("/"), &mut Names::default(), Secrets::Ignore);
    let snapshot = loaded.expect("a valid file").snapshot;
    let requests = REQUESTS.map(|(wire, expected)| {
        let mut head = RequestHead::new();
        let end = HeadReader::new().request(wire.as_bytes(), &Limits::default(), &mut head);
        assert_eq!(end, Ok(Some(wire.len())));
        (head, expected)
    });
    let mut memory = Memory::default();
    let mut allocated = |rounds: usize| {
        let before = allocations();
        for (request, expected) in std::iter::repeat_n(&requests, rounds).flatten() {
            look_up(&snapshot, request, &mut memory, expected);
        }
        allocations() - before
    };
    assert!(allocated(1) > 0, "the first requests make the memory, or the count is broken");
    assert_eq!(allocated(1000), 0, "allocations in 7,000 requests");
}
