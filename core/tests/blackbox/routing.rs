//! Which route answers, and what becomes of the path on its way.

use std::fmt::Write as _;

use crate::support::{Client, Gateway, Origin, Response, ok};

/// Routes, each `NAME` with its match and further keys, that answer with their own name.
fn naming(routes: &[(&str, &str)]) -> Gateway {
    let mut text = String::new();
    for (name, keys) in routes {
        let _ = writeln!(text, "[routes.{name}]\n{keys}\nrespond = {{ status = 200, body = \"{name}\" }}");
    }
    Gateway::start(&text)
}

fn ask(client: &mut Client, method: &str, host: &str, target: &str, fields: &str) -> Response {
    client.ask(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"))
}

/// The body of a 200, or the status.
fn answer(response: &Response) -> String {
    if response.status == 200 { response.text().to_owned() } else { response.status.to_string() }
}

#[test]
fn hosts_go_from_exact_over_the_longest_wildcard_to_any() {
    let gateway = naming(&[
        ("any", "match = { prefix = \"/\" }"),
        ("wild", "match = { prefix = \"/\", hosts = [\"*.example.com\"] }"),
        ("deeper", "match = { prefix = \"/\", hosts = [\"*.api.example.com\"] }"),
        ("exact", "match = { prefix = \"/\", hosts = [\"one.api.example.com\"] }"),
    ]);
    let mut client = gateway.client();
    for (host, route) in [
        ("one.api.example.com", "exact"),
        ("ONE.api.Example.com:8080", "exact"),
        ("two.api.example.com", "deeper"),
        ("api.example.com", "wild"),
        ("a.b.example.com", "wild"),
        ("example.com", "any"),
        ("elsewhere", "any"),
    ] {
        assert_eq!(answer(&ask(&mut client, "GET", host, "/", "")), route, "{host}");
    }
}

#[test]
fn paths_go_from_exact_over_pattern_and_regex_to_the_longest_prefix() {
    let gateway = naming(&[
        ("root", "match = { prefix = \"/\" }"),
        ("users", "match = { prefix = \"/users\" }"),
        ("regex", "match = { regex = \"^/users/[0-9]+/pic/big$\" }"),
        ("one", "match = { pattern = \"/users/{id}\" }"),
        ("me", "match = { path = \"/users/me\" }"),
        ("posts", "match = { pattern = \"/users/{id}/{what}\" }"),
        ("literal", "match = { pattern = \"/users/admin/{what}\" }"),
    ]);
    let mut client = gateway.client();
    for (target, route) in [
        ("/", "root"),
        ("/usersx", "root"),
        ("/users", "users"),
        ("/users/", "users"),
        ("/users/7", "one"),
        ("/users/me", "me"),
        ("/users/7/pic/big", "regex"),
        ("/users/x/pic/big", "users"),
        ("/users/7/posts", "posts"),
        ("/users/admin/posts", "literal"),
        ("/users/7/posts/9", "users"),
        ("/x/../users/me", "me"),
        ("/%75sers/me", "me"),
    ] {
        assert_eq!(answer(&ask(&mut client, "GET", "t", target, "")), route, "{target}");
    }
}

#[test]
fn a_prefix_matches_whole_segments() {
    let gateway =
        naming(&[("admin", "match = { prefix = \"/admin\" }"), ("slash", "match = { prefix = \"/docs/\" }")]);
    let mut client = gateway.client();
    for (target, expected) in [
        ("/admin", "admin"),
        ("/admin/x", "admin"),
        ("/administrator", "404"),
        ("/docs/x", "slash"),
        ("/docsx", "404"),
    ] {
        assert_eq!(answer(&ask(&mut client, "GET", "t", target, "")), expected, "{target}");
    }
}

#[test]
fn priority_goes_before_everything_else() {
    let gateway = naming(&[
        ("exact", "match = { path = \"/a\", hosts = [\"t\"] }"),
        ("first", "priority = 10\nmatch = { prefix = \"/\", query = { first = \"1\" } }"),
    ]);
    let mut client = gateway.client();
    assert_eq!(answer(&client.get("/a")), "404", "the host differs");
    assert_eq!(answer(&client.get("/a?first=1")), "first");
    assert_eq!(answer(&ask(&mut client, "GET", "t", "/a?first=1", "")), "first");
    assert_eq!(answer(&ask(&mut client, "GET", "t", "/a", "")), "exact");
}

#[test]
fn methods_fields_and_query_narrow_a_route() {
    let gateway = naming(&[
        ("plain", "match = { prefix = \"/\" }"),
        ("beta", "match = { path = \"/a\", headers = { X-Beta = \"1\" } }"),
        ("v2", "match = { path = \"/b\", query = { v = \"2\" } }"),
        ("post", "match = { path = \"/c\", methods = [\"POST\"], query = { w = \"1\" } }"),
    ]);
    let mut client = gateway.client();
    for (method, target, fields, route) in [
        ("GET", "/a", "", "plain"),
        ("GET", "/a", "X-Beta: 1\r\n", "beta"),
        ("GET", "/a", "x-beta: 1\r\n", "beta"),
        ("GET", "/a", "X-Beta: 2\r\n", "plain"),
        ("GET", "/b?v=2", "", "v2"),
        ("GET", "/b?u=1&v=2", "", "v2"),
        ("GET", "/b?v=22", "", "plain"),
        ("POST", "/c?w=1", "", "post"),
        ("GET", "/c?w=1", "", "plain"),
    ] {
        assert_eq!(
            answer(&ask(&mut client, method, "t", target, fields)),
            route,
            "{method} {target} {fields}"
        );
    }
}

#[test]
fn no_route_is_404_in_the_one_error_form() {
    let gateway = naming(&[("a", "match = { path = \"/a\" }")]);
    let mut client = gateway.client();
    let response = client.get("/b");
    assert_eq!((response.status, response.field("content-type")), (404, Some("application/json")));
    assert!(response.reason().starts_with("route."), "{}", response.reason());
    assert_eq!(answer(&client.get("/a")), "a", "the connection lives on");
}

#[test]
fn another_method_is_405_with_what_is_allowed() {
    let gateway = naming(&[
        ("read", "match = { path = \"/a\", methods = [\"GET\", \"HEAD\"] }"),
        ("write", "match = { path = \"/a\", methods = [\"PUT\"] }"),
        ("other", "match = { path = \"/b\", methods = [\"POST\"] }"),
    ]);
    let response = ask(&mut gateway.client(), "DELETE", "t", "/a", "");
    assert_eq!(response.status, 405);
    let mut allowed: Vec<&str> = response.field("allow").unwrap().split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "PUT"]);
    assert!(response.reason().starts_with("route."), "{}", response.reason());
}

#[test]
fn routes_may_belong_to_a_listener() {
    let gateway = Gateway::start(
        "[listeners.one]\nbind = \"GATEWAY:8080\"\n[listeners.two]\nbind = \"GATEWAY:8081\"\n\
         [routes.one]\nmatch = { prefix = \"/\" }\nlisteners = [\"one\"]\nrespond = { status = 200, body = \"1\" }\n\
         [routes.two]\nmatch = { prefix = \"/\" }\nlisteners = [\"two\"]\nrespond = { status = 200, body = \"2\" }\n",
    );
    assert_eq!(gateway.client().get("/").text(), "1");
    assert_eq!(Client::connect(gateway.at(8081)).get("/").text(), "2");
}

/// What path an origin sees for one route's keys.
fn forwarded(keys: &str, cases: &[(&str, &str)]) {
    let origin = Origin::start(|visit| {
        let answer = ok(visit.path());
        visit.send(answer);
    });
    let gateway = Gateway::start(&format!(
        "[routes.r]\n{keys}\nupstream = \"u\"\n[upstreams.u]\nendpoints = [\"{}\"]\n",
        origin.address()
    ));
    let mut client = gateway.client();
    for (sent, seen) in cases {
        assert_eq!(client.get(sent).text(), *seen, "{keys}: {sent}");
    }
}

#[test]
fn a_prefix_is_stripped_when_the_route_says_so() {
    forwarded(
        "match = { prefix = \"/api/\" }\nstrip_prefix = true",
        &[("/api/users?q=1", "/users?q=1"), ("/api/", "/"), ("/api/a/b/", "/a/b/")],
    );
    forwarded("match = { prefix = \"/api\" }\nstrip_prefix = true", &[("/api", "/"), ("/api/x", "/x")]);
    forwarded("match = { prefix = \"/api/\" }", &[("/api/users", "/api/users")]);
}

#[test]
fn a_path_is_rewritten_by_a_regex() {
    forwarded(
        "match = { prefix = \"/api/v1/\" }\nrewrite = { regex = \"^/api/v1/users\", to = \"/users\" }",
        &[
            ("/api/v1/users", "/users"),
            ("/api/v1/users/7?x=y", "/users/7?x=y"),
            ("/api/v1/other", "/api/v1/other"),
        ],
    );
}

#[test]
fn parameters_are_usable_in_the_upstream_path() {
    forwarded(
        "match = { pattern = \"/users/{id}/posts/{post}\" }\nrewrite = { to = \"/p/{post}/of/{id}\" }",
        &[("/users/7/posts/9?x", "/p/9/of/7?x"), ("/users/a%2Fb/posts/c", "/p/c/of/a%2Fb")],
    );
}

/// A listener in clear that sends to HTTPS, with one route excepted.
fn redirecting(port: u16) -> Gateway {
    Gateway::start(&format!(
        "[listeners.http]\nbind = \"GATEWAY:8080\"\nredirect_https = {{ port = {port}, except = [\"health\"] }}\n\
         [routes.health]\nmatch = {{ path = \"/health\" }}\nrespond = \"health\"\n\
         [routes.all]\nmatch = {{ prefix = \"/\" }}\nrespond = {{ status = 200, body = \"clear\" }}\n"
    ))
}

#[test]
fn clear_traffic_is_sent_to_https_with_the_excepted_routes_served() {
    let gateway = redirecting(8443);
    let mut client = gateway.client();
    let response = ask(&mut client, "GET", "api.example.com:8080", "/a/b?c=d", "");
    assert_eq!(response.status, 308);
    assert_eq!(response.field("location"), Some("https://api.example.com:8443/a/b?c=d"));
    assert_eq!(client.get("/health").status, 200);
    let standard = redirecting(443);
    let response = ask(&mut standard.client(), "POST", "api.example.com", "/a", "Content-Length: 0\r\n");
    assert_eq!((response.status, response.field("location")), (308, Some("https://api.example.com/a")));
}

#[test]
fn health_and_ready_answer_by_themselves() {
    let gateway = Gateway::start(
        "[routes.health]\nmatch = { path = \"/health\" }\nrespond = \"health\"\n\
         [routes.ready]\nmatch = { path = \"/ready\" }\nrespond = \"ready\"\n",
    );
    let mut client = gateway.client();
    let health = client.get("/health");
    assert_eq!((health.status, health.field("content-type")), (200, Some("application/json")));
    let body: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!(body["status"], "healthy");
    assert!(body["version"].is_string(), "{body}");
    assert!(body["timestamp"].is_string() || body["timestamp"].is_number(), "{body}");
    assert_eq!(client.get("/ready").status, 200);
    client.send("HEAD /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);
    assert_eq!(client.get("/ready").status, 200);
}

#[test]
fn a_fixed_answer_is_given_as_written() {
    let gateway = Gateway::start(
        "[routes.health]\nmatch = { path = \"/health\" }\n\
         respond = { status = 200, body = \"healthy\\n\", content_type = \"text/plain\" }\n\
         [routes.gone]\nmatch = { path = \"/gone\" }\n\
         respond = { status = 410, body = \"{}\", content_type = \"application/json\" }\n",
    );
    let mut client = gateway.client();
    let health = client.get("/health");
    assert_eq!(
        (health.status, health.text(), health.field("content-type")),
        (200, "healthy\n", Some("text/plain"))
    );
    let gone = client.ask("POST /gone HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((gone.status, gone.text()), (410, "{}"));
    assert_eq!(client.get("/health").status, 200, "the body was passed over");
}

#[test]
fn fields_are_set_and_removed_both_ways() {
    let origin = Origin::start(|visit| {
        let head = visit.head.clone();
        visit.send(format!(
            "HTTP/1.1 200 OK\r\nServer: secret/1\r\nX-Powered-By: x\r\nX-Frame-Options: ALLOW\r\n\
             Content-Length: {}\r\n\r\n{head}",
            head.len()
        ));
    });
    let gateway = Gateway::start(&format!(
        "{}\n[routes.all.request]\nset = {{ X-Api-Version = \"2\" }}\nremove = [\"X-Debug\"]\n\
         [routes.all.response]\nset = {{ X-Frame-Options = \"DENY\" }}\nremove = [\"Server\", \"X-Powered-By\"]\n",
        crate::support::proxying(&origin)
    ));
    let request = "GET / HTTP/1.1\r\nHost: t\r\nX-Debug: 1\r\nx-api-version: 1\r\nX-Kept: k\r\n\r\n";
    let response = gateway.client().ask(request);
    let seen = response.text().to_ascii_lowercase();
    assert!(seen.contains("x-api-version: 2\r\n") && seen.contains("x-kept: k\r\n"), "{seen}");
    assert!(!seen.contains("x-debug") && !seen.contains("x-api-version: 1"), "{seen}");
    assert_eq!(response.field("x-frame-options"), Some("DENY"));
    assert_eq!((response.field("server"), response.field("x-powered-by")), (None, None));
}

#[test]
fn set_fields_are_also_on_the_gateways_own_errors() {
    let gateway = Gateway::start(&format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"u\"\n\
         response = {{ set = {{ X-Frame-Options = \"DENY\" }} }}\n\
         [upstreams.u]\nendpoints = [\"{}\"]\n",
        Origin::nowhere()
    ));
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.field("x-frame-options")), (502, Some("DENY")));
}

#[test]
fn errors_take_the_form_that_the_route_asks_for() {
    let route = |name: &str, form: &str| {
        format!(
            "[routes.{name}]\nmatch = {{ prefix = \"/{name}\" }}\nupstream = \"u\"\n\
             errors = \"{form}\"\nreason_header = true\n"
        )
    };
    let gateway = Gateway::start(&format!(
        "{}{}{}[upstreams.u]\nendpoints = [\"{}\"]\n",
        route("json", "json"),
        route("text", "text"),
        route("problem", "problem"),
        Origin::nowhere()
    ));
    let mut client = gateway.client();
    for (path, media_type) in
        [("/json", "application/json"), ("/text", "text/plain"), ("/problem", "application/problem+json")]
    {
        let response = client.get(path);
        assert_eq!(response.status, 502);
        assert!(response.field("content-type").unwrap().starts_with(media_type), "{}", response.head);
        assert_eq!(response.field("x-ringway-reason"), Some("upstream.connect.refused"));
        assert!(!response.body.is_empty());
    }
}
