//! Counts what a route's filters allocate for an exchange once their memory is there: nothing.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod counting;

use std::path::Path;

use counting::allocations;
use ringway_config::load::{Names, Secrets, load_str};
use ringway_filters::{Chain, ChainState, Facts, Verdict};
use ringway_http::h1::HeadReader;
use ringway_http::{Limits, RequestHead, ResponseHead};

const FILE: &str = r#"
[listeners.main]
bind = "127.0.0.1:8080"
[routes.users]
match = { pattern = "/users/{id}" }
upstream = "origin"
use = ["tidy"]
request = { set = { X-User = "$param.id", X-Client = "$client_ip" }, remove = ["X-Debug"] }
response = { set = { X-Route = "$route" }, add = { X-Id = "$request_id" }, remove = ["Server"] }
[upstreams.origin]
endpoints = ["127.0.0.1:3000"]
[filters.tidy.headers]
request = { rename = { X-Old = "X-New" }, set = { X-Proto = "$scheme://$host" } }
"#;

/// One exchange's filters, on heads that are parsed as they are on the wire.
fn exchange(
    chain: &Chain,
    state: &mut ChainState,
    facts: &mut Facts,
    request: &mut RequestHead,
    response: &mut ResponseHead,
) {
    let text =
        b"GET /users/42 HTTP/1.1\r\nHost: example.com\r\nX-Old: a\r\nX-Debug: 1\r\nX-User: forged\r\n\r\n";
    HeadReader::new().request(text, &Limits::default(), request).unwrap().expect("a whole head");
    facts.clear();
    facts.host.push_str("example.com");
    facts.request_id.push_str("0123456789abcdef");
    facts.route.push_str("users");
    facts.params.push("id", "42");
    response.fields.clear();
    response.fields.push("Server", b"origin").unwrap();
    state.clear();
    assert!(matches!(chain.on_request_head(state, request, facts), Verdict::Continue));
    chain.on_response_head(state, response, facts);
    assert_eq!(request.fields.value("X-User"), Some(&b"42"[..]));
    assert_eq!(request.fields.value("X-New"), Some(&b"a"[..]));
    assert_eq!(request.fields.value("X-Proto"), Some(&b"http://example.com"[..]));
    assert_eq!(response.fields.value("X-Route"), Some(&b"users"[..]));
    assert!(response.fields.value("Server").is_none() && request.fields.value("X-Debug").is_none());
}

#[test]
fn filters_allocate_nothing_per_exchange_in_the_steady_state() {
    let loaded = load_str("test.toml", FILE, Path::new("/"), &mut Names::default(), Secrets::Ignore);
    let snapshot = loaded.expect("a valid file").snapshot;
    let chain = Chain::seat(&snapshot.routes.all().first().expect("a route").filters, None);
    let (mut state, mut facts) = (ChainState::default(), Facts::default());
    let (mut request, mut response) = (RequestHead::new(), ResponseHead::new());
    let mut allocated = |exchanges: usize| {
        let before = allocations();
        for _ in 0..exchanges {
            exchange(&chain, &mut state, &mut facts, &mut request, &mut response);
        }
        allocations() - before
    };
    assert!(allocated(1) > 0, "the first exchange makes the memory, or the count is broken");
    assert_eq!(allocated(1000), 0, "allocations in 1,000 exchanges");
}
