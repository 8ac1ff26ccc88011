//! What would happen to a request, and why: `ringway explain` and `ringway routes`.
//!
//! The request is read by the same parser and looked up in the same index as one from a connection; only the reasons
//! are found by asking every route.

mod table;
mod why;

use std::fmt::Write as _;

use ringway_filters::Params;
use ringway_http::{Method, RequestHead, h1};

use crate::regex::Scratch;
use crate::routes::{Found, RouteRule, hosts_shown, methods_shown};
use crate::snapshot::{
    Address, ErrorFormat, Listener, ListenerId, Respond, Retry, Route, Snapshot, StaticFiles, Terminal,
    UpstreamId,
};
pub use table::routes_table;

/// A request to explain.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The listener that it comes in on; without one, the one on the URL's port, or else the first.
    pub listener: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// `http://host/path?query`, or only `/path?query`.
    pub url: &'a str,
    /// Further fields; a `Host` here goes before the URL's.
    pub headers: &'a [(String, String)],
}

/// Tells what would happen to a request, and why. The error is a sentence about the question.
pub fn explain(snapshot: &Snapshot, question: &Question<'_>) -> Result<String, String> {
    let url = Url::parse(question.url);
    let (listener_id, listener) = pick_listener(snapshot, question.listener, &url)?;
    let mut out = String::new();
    if question.method == "CONNECT" {
        line(&mut out, &format!("CONNECT {} on listener `{}`", question.url, listener.name));
        line(&mut out, "=> 405: CONNECT is not served here (request.connect); no route is looked up");
        return Ok(out);
    }
    let mut head = RequestHead::new();
    let wire = wire(question, &url)?;
    match h1::HeadReader::new().request(wire.as_bytes(), &listener.limits.head, &mut head) {
        Ok(Some(_)) => {}
        Ok(None) => return Err("the request ends before its head does".to_owned()),
        Err(error) => {
            line(&mut out, &format!("{} {} on listener `{}`", question.method, question.url, listener.name));
            line(
                &mut out,
                &format!("=> {}: {error} ({}); no route is looked up", error.status(), error.reason()),
            );
            return Ok(out);
        }
    }
    let mut request = format!("{} {}{}", head.method_text(), head.host(), head.path());
    if let Some(query) = head.query() {
        let _ = write!(request, "?{query}");
    }
    line(&mut out, &format!("{request} on listener `{}`", listener.name));
    if !question.url.contains(head.path()) {
        line(&mut out, &format!("   the path in its normal form, which routes see: {}", head.path()));
    }
    if head.path() == "*" {
        line(&mut out, "=> 204: `OPTIONS *` asks about the gateway itself; no route is looked up");
        return Ok(out);
    }
    let (mut params, mut allow) = (Params::default(), String::new());
    let found = snapshot.routes.find(listener_id, &head, &mut params, &mut Scratch::default(), &mut allow);
    let answer =
        Answer { snapshot, listener_id, listener, head: &head, params: &params, is_clear: url.is_clear };
    answer.write(found, &mut out);
    Ok(out)
}

/// What all parts of the explanation look at.
struct Answer<'a> {
    snapshot: &'a Snapshot,
    listener_id: ListenerId,
    listener: &'a Listener,
    head: &'a RequestHead,
    params: &'a Params,
    is_clear: bool,
}

impl Answer<'_> {
    fn write(&self, found: Found<'_>, out: &mut String) {
        let redirect = self.listener.redirect_https.as_ref().filter(|_| self.is_clear);
        let not_found = |status: &str| match redirect {
            Some(redirect) => {
                format!("=> 308 to HTTPS on port {}: `redirect_https` of the listener", redirect.port)
            }
            None => status.to_owned(),
        };
        match found {
            Found::Route(id) => {
                let Some((route, rule)) = self.snapshot.routes.route(id).zip(self.snapshot.routes.rule(id))
                else {
                    return;
                };
                line(out, &format!("=> route `{}`: {}", route.name, summary(rule)));
                for (name, value) in self.params.iter() {
                    line(out, &format!("   {{{name}}} = {value}"));
                }
                match redirect {
                    Some(redirect) if !route.served_in_clear.contains(&self.listener_id) => {
                        let port = redirect.port;
                        let why =
                            "the listener has `redirect_https`, and the route is not among its exceptions";
                        line(out, &format!("\nWhat happens\n   308 to HTTPS on port {port}: {why}"));
                    }
                    _ => self.write_course(route, out),
                }
            }
            Found::MethodNotAllowed(allow) => {
                let status = format!("=> 405, Allow: {allow}: routes match in all but the method");
                line(out, &not_found(&status));
            }
            Found::Nothing => line(out, &not_found("=> 404: no route matches")),
        }
        why::write(self, found, out);
    }

    /// What the route does, in the order in which it does it.
    fn write_course(&self, route: &Route, out: &mut String) {
        line(out, "\nWhat happens");
        for (at, filter) in route.filters.iter().enumerate() {
            line(out, &format!("   {}. filter `{}`: {}", at + 1, filter.name, filter.describe()));
        }
        let at = route.filters.len() + 1;
        line(out, &format!("   {at}. {}", self.course(route)));
        if !route.filters.is_empty() {
            let names: Vec<_> =
                route.filters.iter().rev().map(|filter| format!("`{}`", filter.name)).collect();
            line(
                out,
                &format!("   {}. on the response, the filters in reverse: {}", at + 1, names.join(", ")),
            );
        }
        let body = route
            .limits
            .body_bytes_max
            .map_or_else(|| "unlimited".to_owned(), |bytes| format!("at most {bytes} bytes"));
        let errors = match route.errors {
            ErrorFormat::Json => "json",
            ErrorFormat::Text => "text",
            ErrorFormat::Problem => "problem",
        };
        let log = if route.access_log { "logged" } else { "not logged" };
        line(out, &format!("   request body {body}, errors as {errors}, {log}"));
    }

    fn course(&self, route: &Route) -> String {
        match &route.terminal {
            Terminal::Proxy(id) => self.proxy_course(*id, route),
            Terminal::Static(_) if !matches!(self.head.method, Method::Get | Method::Head) => {
                "405, Allow: GET, HEAD: files are only read".to_owned()
            }
            Terminal::Static(files) => static_course(files),
            Terminal::Respond(respond) => respond_shown(respond),
        }
    }

    fn proxy_course(&self, id: UpstreamId, route: &Route) -> String {
        let Some(upstream) = self.snapshot.upstreams.get(id.0 as usize) else { return String::new() };
        let mut path = upstream.base_path.to_string();
        route.rewrite.apply(self.head.path(), self.params, &mut Scratch::default(), &mut path);
        if let Some(query) = self.head.query() {
            let _ = write!(path, "?{query}");
        }
        let endpoints: Vec<_> = upstream
            .endpoints
            .iter()
            .map(|endpoint| format!("{} (weight {})", address_shown(&endpoint.address), endpoint.weight))
            .collect();
        let host = if route.preserve_host { self.head.authority() } else { "the endpoint's" };
        let mut text =
            format!("upstream `{}` as {} {path}, Host: {host}", upstream.name, self.head.method_text());
        let _ = write!(text, "\n      {}; endpoints {}", route.rewrite, endpoints.join(", "));
        let _ = write!(text, "\n      within {:?}, {}", route.timeout, attempts_shown(&route.retry));
        text
    }
}

fn attempts_shown(retry: &Retry) -> String {
    if retry.attempts < 2 {
        return "one attempt".to_owned();
    }
    let on: Vec<_> = retry.on.iter().map(ToString::to_string).collect();
    let statuses = if on.is_empty() { String::new() } else { format!(" and {}", on.join(", ")) };
    format!("{} attempts, on connection failures{statuses}", retry.attempts)
}

fn static_course(files: &StaticFiles) -> String {
    let prefix = if files.prefix.is_empty() { "no prefix" } else { &files.prefix };
    format!("files from {} ({prefix} stripped, `{}` for a folder)", files.root.display(), files.index)
}

fn respond_shown(respond: &Respond) -> String {
    match respond {
        Respond::Health => "the gateway answers: health".to_owned(),
        Respond::Ready => "the gateway answers: ready".to_owned(),
        Respond::Fixed { status, body, content_type } => {
            format!(
                "the gateway answers: {status}, {} byte{} of {content_type}",
                body.len(),
                if body.len() == 1 { "" } else { "s" }
            )
        }
    }
}

fn address_shown(address: &Address) -> String {
    match address {
        Address::Socket(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
        Address::Name(name, port) => format!("{name}:{port}"),
    }
}

/// What a route asks for, in one line.
fn summary(rule: &RouteRule) -> String {
    let mut parts = vec![format!("priority {}", rule.priority), hosts_shown(rule), rule.path.to_string()];
    if !rule.methods.is_empty() {
        parts.push(format!("methods {}", methods_shown(rule)));
    }
    parts.extend(rule.headers.iter().map(|field| format!("header {}: {}", field.name(), field.value())));
    parts.extend(
        rule.query.iter().map(|parameter| format!("query {}={}", parameter.name(), parameter.value())),
    );
    parts.join(", ")
}

/// The parts of the URL that make a request.
struct Url<'a> {
    is_clear: bool,
    authority: Option<&'a str>,
    target: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Self {
        let url = url.split_once('#').map_or(url, |(front, _)| front);
        let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
        let is_clear = !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        if scheme.is_none() && (rest.starts_with('/') || rest == "*") {
            return Self { is_clear, authority: None, target: rest };
        }
        let (authority, target) =
            rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
        Self { is_clear, authority: Some(authority), target }
    }

    fn port(&self) -> Option<u16> {
        let (_, port) = self.authority?.rsplit_once(':')?;
        port.parse().ok()
    }
}

/// The request as a client would send it.
fn wire(question: &Question<'_>, url: &Url<'_>) -> Result<String, String> {
    let slash = if url.target.starts_with('/') || url.target == "*" { "" } else { "/" };
    let mut wire = format!("{} {slash}{} HTTP/1.1\r\n", question.method, url.target);
    if !question.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        let _ = write!(wire, "Host: {}\r\n", url.authority.unwrap_or("localhost"));
    }
    for (name, value) in question.headers {
        if name.contains(['\r', '\n']) || value.contains(['\r', '\n']) {
            return Err(format!("the header `{}` has a line end in it", name.escape_debug()));
        }
        let _ = write!(wire, "{name}: {value}\r\n");
    }
    wire.push_str("\r\n");
    Ok(wire)
}

fn pick_listener<'a>(
    snapshot: &'a Snapshot,
    name: Option<&str>,
    url: &Url<'_>,
) -> Result<(ListenerId, &'a Listener), String> {
    let by_name = |listener: &Listener| name == Some(&*listener.name);
    let by_port = |listener: &Listener| {
        listener
            .bind
            .iter()
            .any(|address| matches!(address, Address::Socket(a) if Some(a.port()) == url.port()))
    };
    let listeners = &snapshot.listeners;
    let at = match name {
        Some(name) => listeners.iter().position(by_name).ok_or_else(|| {
            let known: Vec<_> = listeners.iter().map(|listener| format!("`{}`", listener.name)).collect();
            format!("there is no listener `{name}`; there are: {}", known.join(", "))
        })?,
        None => listeners.iter().position(by_port).unwrap_or(0),
    };
    let listener = listeners.get(at).ok_or("the configuration has no listener")?;
    Ok((ListenerId(u32::try_from(at).unwrap_or(u32::MAX)), listener))
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::load::{Names, Secrets, load_str};

    const FILE: &str = r#"
[listeners.main]
bind = "127.0.0.1:8080"
[listeners.clear]
bind = "127.0.0.1:8081"
redirect_https = { port = 8443, except = ["health"] }

[routes.health]
priority = 1000
match = { path = "/health" }
respond = "health"
access_log = false

[routes.users]
match = { pattern = "/api/users/{id}", methods = ["GET", "POST"] }
upstream = "api"
rewrite = { to = "/people/{id}" }
retry = { attempts = 3, on = [502, 503] }
request = { set = { X-Api-Version = "2" } }

[routes.beta]
match = { prefix = "/api/", headers = { X-Beta = "1" } }
upstream = "api"

[routes.api]
match = { prefix = "/api/" }
upstream = "api"
strip_prefix = true

[routes.tenant]
listeners = ["main"]
match = { hosts = ["a.example.com", "*.b.example.com"], prefix = "/", query = { v = "2" } }
upstream = "api"

[upstreams.api]
endpoints = ["127.0.0.1:3000", "127.0.0.1:3001"]
"#;

    fn snapshot() -> Snapshot {
        match load_str("test.toml", FILE, Path::new("/"), &mut Names::default(), Secrets::Ignore) {
            Ok(loaded) => loaded.snapshot,
            Err(errors) => panic!("{errors}"),
        }
    }

    fn told(listener: Option<&str>, method: &str, url: &str, headers: &[(&str, &str)]) -> String {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let question = Question { listener, method, url, headers: &headers };
        explain(&snapshot(), &question).unwrap_or_else(|error| error)
    }

    #[test]
    fn what_a_request_would_meet_in_the_end_is_told() {
        let text = told(None, "CONNECT", "x.org:443", &[]);
        assert!(text.contains("=> 405: CONNECT is not served here (request.connect)"), "{text}");
        let text = told(None, "GET", "http://x.org/api/x", &[]);
        assert!(text.contains("2 attempts, on connection failures"), "{text}");
        let file = "[listeners.a]\nbind = \"127.0.0.1:80\"\n[routes.files]\nmatch = { prefix = \"/\" }\n\
                    static = { root = \"/\" }";
        let loaded = load_str("test.toml", file, Path::new("/"), &mut Names::default(), Secrets::Ignore);
        let snapshot = loaded.unwrap().snapshot;
        for (method, expected) in [("HEAD", "files from /"), ("POST", "405, Allow: GET, HEAD")] {
            let question = Question { listener: None, method, url: "/a", headers: &[] };
            let text = explain(&snapshot, &question).unwrap();
            assert!(text.contains(&format!("   1. {expected}")), "{method}: {text}");
        }
    }

    #[test]
    fn a_route_is_explained_with_what_it_does() {
        let text = told(None, "GET", "http://x.org:8080//api/users/7?q=1", &[]);
        for part in [
            "GET x.org/api/users/7?q=1 on listener `main`",
            "=> route `users`: priority 0, any host, pattern /api/users/{id}, methods GET, POST\n   {id} = 7\n",
            "1. filter `route:users`: headers = ",
            "2. upstream `api` as GET /people/7?q=1, Host: x.org:8080\n",
            "endpoints 127.0.0.1:3000 (weight 100), 127.0.0.1:3001 (weight 100)",
            "3 attempts, on connection failures and 502, 503",
            "`health` (priority 1000, any host, path /health): the path /api/users/7 does not match",
            "`tenant` (priority 0, a.example.com, *.b.example.com, any path, query v=2): the host is x.org, not a.exa",
            "Would match too\n   `api` (priority 0, any host, prefix /api): `users` goes first, its path is more spe",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        assert!(
            !text.contains("`beta` (priority 0, any host, prefix /api, header x-beta: 1): `users`"),
            "{text}"
        );
    }

    #[test]
    fn a_near_miss_says_what_was_missing() {
        for (listener, method, url, headers, part) in [
            (None, "GET", "/api/x", &[("X-Beta", "2")][..], "the header x-beta is `2`, not `1`"),
            (None, "GET", "/api/x", &[], "the header x-beta is not there, not `1`"),
            (None, "DELETE", "/api/users/7", &[], "the method is DELETE, not GET, POST"),
            (None, "GET", "http://a.example.com/api/x", &[], "the query has no v=2"),
            (
                Some("clear"),
                "GET",
                "http://a.example.com/api/x?v=2",
                &[],
                "it is not on the listener `clear`",
            ),
            (None, "GET", "/nothing", &[], "=> 404: no route matches"),
            (None, "GET", "/../x", &[], "=> 400: the path is not valid (request.path); no route"),
            (None, "OPTIONS", "*", &[], "=> 204"),
            (Some("clear"), "GET", "/health", &[], "=> route `health`"),
            (Some("clear"), "GET", "/health", &[], "the gateway answers: health"),
            (
                Some("clear"),
                "GET",
                "/api/x",
                &[],
                "308 to HTTPS on port 8443: the listener has `redirect_https`",
            ),
            (None, "GET", "http://x:8081/nothing", &[], "=> 308 to HTTPS on port 8443"),
            (Some("other"), "GET", "/", &[], "there is no listener `other`; there are: `main`, `clear`"),
            (None, "GET", "/", &[("Host", "a.example.com")], "GET a.example.com/ on"),
            (None, "GET", "/", &[("X", "a\r\nb")], "has a line end in it"),
        ] {
            let text = told(listener, method, url, headers);
            assert!(text.contains(part), "{method} {url}: {part}\nis not in\n{text}");
        }
    }

    #[test]
    fn the_table_shows_routes_in_their_order() {
        let table = routes_table(&snapshot());
        let names: Vec<_> = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(names, ["health", "tenant", "users", "beta", "api"]);
        let at = table.lines().next().and_then(|line| line.find("path")).unwrap();
        assert!(
            table.lines().skip(1).all(|line| line.get(..at).is_some_and(|front| front.ends_with("  "))),
            "{table}"
        );
        assert!(table.contains("upstream api (127.0.0.1:3000 +1)"), "{table}");
    }

    #[test]
    fn a_405_names_the_methods() {
        let file = FILE.replace("prefix = \"/api/\" }", "prefix = \"/other/\" }");
        let loaded = load_str("t", &file, Path::new("/"), &mut Names::default(), Secrets::Ignore).unwrap();
        let question = Question { listener: None, method: "DELETE", url: "/api/users/7", headers: &[] };
        let text = explain(&loaded.snapshot, &question).unwrap();
        assert!(
            text.contains("=> 405, Allow: GET, HEAD, POST: routes match in all but the method"),
            "{text}"
        );
        assert!(text.contains("`users` ("), "{text}");
    }
}
