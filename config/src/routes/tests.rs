//! The index against a search through every route, and the order of routes by example.

use super::*;
use crate::rewrite::Rewrite;
use crate::snapshot::{ClientCertificate, ErrorFormat, GrpcWeb, Limits, Respond, Retry, Terminal};
use std::sync::Arc;
use std::time::Duration;

/// A route that only has a name.
pub(crate) fn named(name: &str) -> Route {
    Route {
        name: Arc::from(name),
        metric: 0,
        terminal: Terminal::Respond(Respond::Ready),
        timeout: Duration::from_secs(1),
        limits: Arc::new(Limits::default()),
        retry: Retry { attempts: 1, on: Vec::new() },
        rewrite: Rewrite::Keep,
        preserve_host: true,
        filters: Vec::new(),
        errors: ErrorFormat::Json,
        access_log: true,
        reason_header: false,
        grpc_web: GrpcWeb::Pass,
        client_certificate: ClientCertificate::AsListener,
        served_in_clear: Vec::new(),
    }
}

/// `"priority listeners hosts path methods headers query"` in one line: `0 * a.com,*.b.com prefix:/x GET,POST x=1
/// v=2`.
pub(crate) fn rule(text: &str) -> RouteRule {
    let mut words = text.split_whitespace();
    let mut list = || -> Vec<&str> {
        words.next().filter(|word| *word != "*").map(|word| word.split(',').collect()).unwrap_or_default()
    };
    let priority = list().first().map_or(0, |n| n.parse().unwrap());
    let listeners = list().iter().map(|n| ListenerId(n.parse().unwrap())).collect();
    let hosts = list().iter().map(|host| HostRule::parse(host).unwrap()).collect();
    let path = match list().join(",").split_once(':') {
        None => PathRule::Any,
        Some(("path", text)) => PathRule::exact(text).unwrap(),
        Some(("prefix", text)) => PathRule::prefix(text).unwrap(),
        Some(("pattern", text)) => PathRule::pattern(text).unwrap(),
        Some((_, text)) => PathRule::regex(text).unwrap(),
    };
    let methods = list().iter().map(|method| MethodRule::new(method).unwrap()).collect();
    let pair = |text: &&str| text.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
    let headers = list().iter().map(pair).map(|(n, v)| FieldRule::new(&n, &v).unwrap()).collect();
    let query = list().iter().map(pair).map(|(n, v)| QueryRule::new(&n, &v).unwrap()).collect();
    RouteRule { priority, listeners, hosts, path, methods, headers, query }
}

pub(crate) fn build(rules: &[&str]) -> Result<Routes, Vec<Conflict>> {
    let routes = rules.iter().map(|text| named(text)).collect();
    Routes::build(rules.iter().map(|text| rule(text)).collect(), routes, 2)
}

fn method(text: &str) -> Method {
    MethodRule::new(text).unwrap().method()
}

/// A request as `METHOD host path[?query] [name=value,...]`, on listener 0 unless it begins with `1:`.
fn with_request<T>(request: &str, use_it: impl FnOnce(&Lookup<'_>) -> T) -> T {
    let (listener, request) = request.strip_prefix("1:").map_or((0, request), |rest| (1, rest));
    let words: Vec<_> = request.split(' ').collect();
    let (path, query) =
        words[2].split_once('?').map_or((words[2], None), |(path, query)| (path, Some(query)));
    let fields: Vec<_> = words.get(3).map(|text| text.split(',').collect()).unwrap_or_default();
    use_it(&Lookup {
        listener: ListenerId(listener),
        host: words[1].trim_start_matches('-'),
        path,
        method: method(words[0]),
        method_text: words[0],
        query,
        has_field: &|name, value| {
            fields.iter().any(|field| {
                let (n, v) = field.split_once('=').unwrap();
                n.eq_ignore_ascii_case(name) && v.as_bytes() == value
            })
        },
    })
}

fn ask(routes: &Routes, request: &str) -> String {
    with_request(request, |want| {
        let (mut params, mut allow) = (Params::default(), String::from("left over"));
        params.push("left", "over");
        let found = match routes.look_up(want, &mut params, &mut Scratch::default(), &mut allow) {
            Found::Route(id) => format!("{}", id.0),
            Found::MethodNotAllowed(allow) => format!("405 {allow}"),
            Found::Nothing => "404".to_owned(),
        };
        assert_eq!(found, ask_each(routes, want), "{request}");
        let text: Vec<_> = params.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if text.is_empty() { found } else { format!("{found} {}", text.join(" ")) }
    })
}

/// What the index must say, found without it.
fn ask_each(routes: &Routes, want: &Lookup<'_>) -> String {
    let mut allowed = Vec::new();
    for place in &routes.places {
        let rule = &routes.rules[place.route as usize];
        let host_matches = place.host_of(rule).is_none_or(|host| host.matches(want.host));
        if !host_matches
            || !rule.path.matches(want.path, &mut Scratch::default())
            || !want.meets_conditions(rule)
        {
            continue;
        }
        if index::admits(&rule.methods, want.method, want.method_text) {
            return place.route.to_string();
        }
        for method in &rule.methods {
            allowed.push(method.as_str().to_owned());
            if method.as_str() == "GET" {
                allowed.push("HEAD".to_owned());
            }
        }
    }
    if allowed.is_empty() {
        return "404".to_owned();
    }
    allowed.sort_by_key(|name| {
        (rule::METHODS.iter().position(|(_, known)| known == name).unwrap_or(99), name.clone())
    });
    allowed.dedup();
    format!("405 {}", allowed.join(", "))
}

#[test]
fn routes_go_by_priority_host_path_and_conditions() {
    let routes = build(&[
        "0 * * prefix:/",                      // 0
        "0 * * prefix:/api",                   // 1
        "0 * * prefix:/api/v2/",               // 2
        "0 * * path:/api/v2/status",           // 3
        "0 * * pattern:/api/v2/{name}",        // 4
        "0 * * pattern:/api/{version}/{name}", // 5
        "0 * * regex:^/api/v[0-9]+/x",         // 6
        "0 * a.example.com prefix:/",          // 7
        "0 * *.example.com prefix:/api",       // 8
        "0 * *.b.example.com prefix:/",        // 9
        "5 * * path:/health",                  // 10
        "0 * * prefix:/api * x-beta=1",        // 11
        "0 1 * prefix:/internal",              // 12
        "0 * * prefix:/api * x-beta=1 v=2",    // 13
        "0 * * pattern:/files/{rest...}",      // 14
    ])
    .unwrap();
    for (request, found) in [
        ("GET - /", "0"),
        ("OPTIONS - *", "0"),
        ("GET - /apis", "0"),
        ("GET - /api", "1"),
        ("GET - /api/v2", "2"),
        ("GET - /api/v2/", "2"),
        ("GET - /api/v2/a/b", "2"),
        ("GET - /api/v2/status", "3"),
        ("GET - /api/v2/a", "4 name=a"),
        ("GET - /api/v1/a", "5 version=v1 name=a"),
        ("GET - /api/v1/x/y", "6"),
        ("GET a.example.com /api/v2/status", "7"),
        ("GET a.example.com. /api/v2/status", "7"),
        ("GET a.example.com /health", "10"),
        ("GET c.example.com /api/v2/status", "8"),
        ("GET c.example.com /other", "0"),
        ("GET c.b.example.com /api", "9"),
        ("GET example.com /api", "1"),
        ("GET - /api x-beta=1", "11"),
        ("GET - /api x-beta=2", "1"),
        ("GET - /api?a=1&v=2 x-beta=1", "13"),
        ("GET - /internal", "0"),
        ("1:GET - /internal", "12"),
        ("GET - /files", "14 rest="),
        ("GET - /files/a/b", "14 rest=a/b"),
    ] {
        assert_eq!(ask(&routes, request), found, "{request}");
    }
}

#[test]
fn a_wrong_method_is_answered_with_what_is_allowed() {
    let routes = build(&[
        "0 * * path:/a GET",
        "0 * * path:/a DELETE,PURGE,POST",
        "0 * * prefix:/b POST",
        "0 * * path:/b/c POST",
        "0 * * path:/h HEAD",
        "0 * * path:/x GET x=1",
        "0 * * regex:^/r PUT",
    ])
    .unwrap();
    for (request, found) in [
        ("GET - /a", "0"),
        ("HEAD - /a", "0"),
        ("PURGE - /a", "1"),
        ("BREW - /a", "405 GET, HEAD, POST, DELETE, PURGE"),
        ("PUT - /a", "405 GET, HEAD, POST, DELETE, PURGE"),
        ("GET - /b/c", "405 POST"),
        ("GET - /h", "405 HEAD"),
        ("POST - /x", "404"),
        ("POST - /x x=1", "405 GET, HEAD"),
        ("GET - /r/1", "405 PUT"),
        ("GET - /", "404"),
        ("OPTIONS - *", "404"),
    ] {
        assert_eq!(ask(&routes, request), found, "{request}");
    }
    let routes = build(&["0 * * path:/a GET", "0 * * prefix:/"]).unwrap();
    assert_eq!(ask(&routes, "POST - /a"), "1", "a route that takes the method is better than a 405");
}

#[test]
fn no_routes_find_nothing() {
    assert_eq!(ask(&Routes::default(), "GET a.example.com /"), "404");
    assert_eq!(ask(&build(&[]).unwrap(), "GET a.example.com /"), "404");
}

/// A small generator of numbers, so that the test needs no crate and always does the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }
    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// A rule as [`rule`] reads it.
fn any_rule(numbers: &mut Numbers, segments: &[&str], hosts: &[&str]) -> String {
    let mut path = String::new();
    for n in 0..numbers.below(4) {
        path.push('/');
        path.push_str(&numbers.pick(segments).replace('p', &format!("p{n}")));
    }
    match (path.contains('{'), numbers.below(6)) {
        (true, 0) => path.push_str("/{rest...}"),
        (false, 0) => path = format!("^{path}/?[ab]"),
        (false, 1) => path.push('/'),
        (false, _) if path.is_empty() => path.push('/'),
        _ => {}
    }
    let kind = match (path.contains('{'), path.contains('[')) {
        (true, _) => "pattern",
        (_, true) => "regex",
        _ => numbers.pick(&["path", "prefix"]),
    };
    format!(
        "{} {} {} {kind}:{path} {} {} {}",
        numbers.below(3),
        numbers.pick(&["*", "*", "0", "1"]),
        numbers.pick(hosts),
        numbers.pick(&["*", "*", "GET", "POST,PURGE", "GET,PUT"]),
        numbers.pick(&["*", "*", "x=1", "x=2", "y=1"]),
        numbers.pick(&["*", "*", "v=1"]),
    )
}

/// A request as [`with_request`] reads it.
fn any_request(numbers: &mut Numbers, segments: &[&str]) -> String {
    let mut path = String::new();
    for _ in 0..numbers.below(5) {
        path.push('/');
        path.push_str(numbers.pick(segments));
    }
    if path.is_empty() || numbers.below(6) == 0 {
        path.push('/');
    }
    format!(
        "{}{} {} {path}{} {}",
        numbers.pick(&["", "1:"]),
        numbers.pick(&["GET", "HEAD", "POST", "PURGE", "DELETE", "BREW"]),
        numbers.pick(&["-", "a.com", "b.a.com", "x.b.a.com", "c.com", "d.c.com", "com"]),
        numbers.pick(&["", "?v=1", "?v=2"]),
        numbers.pick(&["z=1", "x=1", "x=2,y=1"]),
    )
}

#[test]
fn the_index_agrees_with_a_search_through_all() {
    let mut numbers = Numbers(0x5EED);
    let mut asked = 0;
    for _ in 0..400 {
        let hosts = ["*", "a.com", "*.a.com", "b.a.com", "*.b.a.com,c.com", "a.com,*.c.com"];
        let segments = ["a", "b", "{p}", "c", "a"];
        let count = numbers.below(25);
        let mut rules: Vec<_> = (0..count).map(|_| any_rule(&mut numbers, &segments, &hosts)).collect();
        let routes = loop {
            let texts: Vec<_> = rules.iter().map(String::as_str).collect();
            match build(&texts) {
                Ok(routes) => break routes,
                Err(conflicts) => drop(rules.remove(conflicts[0].route.0 as usize)),
            }
        };
        for _ in 0..60 {
            ask(&routes, &any_request(&mut numbers, &["a", "b", "c", "d", ""]));
            asked += 1;
        }
    }
    assert_eq!(asked, 24_000);
}

/// The routes that match a request, each with its place's key, in order.
fn matching(routes: &Routes, want: &Lookup<'_>) -> Vec<(u32, order::Key)> {
    let is_match = |place: &&Place| {
        let rule = &routes.rules[place.route as usize];
        place.host_of(rule).is_none_or(|host| host.matches(want.host))
            && rule.path.matches(want.path, &mut Scratch::default())
            && want.meets_conditions(rule)
            && rule.admits(want.method, want.method_text)
    };
    routes.places.iter().filter(is_match).map(|place| (place.route, place.key)).collect()
}

#[test]
fn conflicts_are_just_what_requests_meet() {
    let mut numbers = Numbers(0x00C0_FFEE);
    let (mut ties, mut dead) = (0, 0);
    for _ in 0..100 {
        let (segments, hosts) = (["a", "b", "{p}"], ["*", "*", "a.com", "*.a.com", "a.com,*.com"]);
        let texts: Vec<_> = (0..40).map(|_| any_rule(&mut numbers, &segments, &hosts)).collect();
        let mut rules: Vec<_> = texts.iter().map(|text| rule(text)).collect();
        for rule in &mut rules {
            tidy(rule, 2);
        }
        let list: Vec<_> = texts.iter().map(|text| named(text)).collect();
        let places = order::places(&rules);
        let conflicts = conflict::find(&rules, &list, &places);
        let routes = Routes { index: Index::new(&rules, &places), list, rules, places };
        let is_regex = |route: u32| matches!(routes.rules[route as usize].path, PathRule::Regex(_));
        for _ in 0..100 {
            let request = any_request(&mut numbers, &["a", "b", "c"]);
            let found = with_request(&request, |want| matching(&routes, want));
            for (at, (route, key)) in found.iter().enumerate() {
                for (other, _) in found[..at].iter().filter(|(other, k)| k == key && other != route) {
                    let is_told =
                        |c: &&Conflict| c.kind == ConflictKind::Tied && [route, other].contains(&&c.route.0);
                    let is_told = conflicts.iter().any(|c| is_told(&c) || c.other.0 == *route.min(other));
                    assert!(
                        is_told || is_regex(*route),
                        "{request}: {texts:#?} {route} {other} {conflicts:?}"
                    );
                    ties += 1;
                }
            }
            let winner = found.first().map(|(route, _)| *route);
            let is_dead = |c: &&Conflict| c.kind == ConflictKind::NeverMatches && Some(c.route.0) == winner;
            assert!(!conflicts.iter().any(|c| is_dead(&c)), "{request}: {texts:#?} {conflicts:?}");
        }
        dead += conflicts.iter().filter(|c| c.kind == ConflictKind::NeverMatches).count();
    }
    assert!(ties > 100 && dead > 100, "{ties} ties met, {dead} routes told dead");
}
