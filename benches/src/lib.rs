//! What the benches share: routes to look up, made by the thousand; the operations that are timed and counted, and
//! their budget.

pub mod budget;
mod h2;
pub mod operations;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::rewrite::Rewrite;
use ringway_config::routes::{HostRule, Lookup, MethodRule, PathRule, RouteRule};
use ringway_config::snapshot::{
    ClientCertificate, ErrorFormat, GrpcWeb, Limits, ListenerId, Respond, Retry, Route, Terminal,
};
use ringway_http::Method;

/// Rules for so many routes: in turn an exact path, a prefix, and a pattern below one of a thousand services, every
/// second of them for one of a hundred hosts, with one catch-all at the end.
pub fn rules(count: usize) -> Result<Vec<RouteRule>, String> {
    (0..count).map(|n| rule(n, n + 1 == count)).collect()
}

fn rule(n: usize, last: bool) -> Result<RouteRule, String> {
    let mut rule = RouteRule::default();
    if last {
        return Ok(rule);
    }
    let service = format!("/api/v{}/service-{}", n % 3, n / 10);
    rule.path = match n % 3 {
        0 => PathRule::exact(&format!("{service}/status-{n}"))?,
        1 => PathRule::prefix(&format!("{service}/files-{n}"))?,
        _ => PathRule::pattern(&format!("{service}/users-{n}/{{id}}/posts/{{post}}"))?,
    };
    if n % 2 == 1 {
        rule.hosts = vec![HostRule::parse(&format!("tenant-{}.example.com", n % 100))?];
    }
    if n.is_multiple_of(5) {
        rule.methods = vec![MethodRule::new("GET")?, MethodRule::new("POST")?];
    }
    Ok(rule)
}

/// Host and path of a request for that one of the [`rules`].
pub fn request(n: usize) -> (String, String) {
    let service = format!("/api/v{}/service-{}", n % 3, n / 10);
    let tail = match n % 3 {
        0 => format!("status-{n}"),
        1 => format!("files-{n}/a/b.txt"),
        _ => format!("users-{n}/7/posts/9"),
    };
    (format!("tenant-{}.example.com", n % 100), format!("{service}/{tail}"))
}

/// A file with so many routes, of all kinds of paths, to a hundred upstreams.
pub fn file(count: usize) -> String {
    let mut text = String::from("[listeners.main]\nbind = \"127.0.0.1:8080\"\n");
    for n in 0..count {
        let service = format!("/api/v{}/service-{}", n % 3, n / 10);
        let path = match n % 3 {
            0 => format!("path = \"{service}/status-{n}\""),
            1 => format!("prefix = \"{service}/files-{n}\""),
            _ => format!("pattern = \"{service}/users-{n}/{{id}}/posts/{{post}}\""),
        };
        let _ =
            write!(text, "[routes.route-{n}]\nmatch = {{ {path} }}\nupstream = \"upstream-{}\"\n", n % 100);
    }
    for n in 0..100 {
        let _ = write!(text, "[upstreams.upstream-{n}]\nendpoints = [\"127.0.0.1:{}\"]\n", 10_000 + n);
    }
    text
}

/// A route that answers by itself.
pub fn route(n: usize) -> Route {
    Route {
        name: Arc::from(format!("route-{n}")),
        metric: 0,
        terminal: Terminal::Respond(Respond::Ready),
        timeout: Duration::from_secs(60),
        limits: Arc::new(Limits::default()),
        retry: Retry { attempts: 1, on: Vec::new() },
        rewrite: Rewrite::Keep,
        preserve_host: true,
        grpc_web: GrpcWeb::Pass,
        filters: Vec::new(),
        errors: ErrorFormat::Json,
        access_log: true,
        reason_header: false,
        client_certificate: ClientCertificate::AsListener,
        served_in_clear: Vec::new(),
    }
}

/// A GET without query or fields.
pub fn get<'a>(host: &'a str, path: &'a str) -> Lookup<'a> {
    Lookup {
        listener: ListenerId(0),
        host,
        path,
        method: Method::Get,
        method_text: "GET",
        query: None,
        has_field: &|_, _| false,
    }
}
