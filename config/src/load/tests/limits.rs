//! Every bound: at it, and one over.

use std::time::Duration;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A key inside a table that needs nothing else: what is at a bound, and what is just beyond it.
fn check(file: impl Fn(&str) -> String, key: &str, at: &[&str], over: &[&str]) {
    for value in at {
        let text = file(&format!("{key} = {value}"));
        assert!(load(&text).is_ok(), "{key} = {value}: {}", refusal(&text));
    }
    for value in over {
        let text = file(&format!("{key} = {value}"));
        let errors = load(&text).expect_err(&format!("{key} = {value} loads"));
        assert_eq!(errors.0.len(), 1, "{key} = {value}: {errors}");
        assert!(errors.to_string().contains("expected"), "{key} = {value}: {errors}");
    }
}

#[test]
fn of_the_server_and_the_limits() {
    let server = |line: &str| around("", "") + "[server]\n" + line;
    check(
        server,
        "workers",
        &["0", "1024", "[0]", "[4095]", "[0, 3]"],
        &["-1", "1025", "\"1\"", "[4096]", "[]"],
    );
    check(server, "drain_timeout", &["\"0s\"", "\"24h\""], &["\"86401s\"", "\"1d\"", "30"]);
    check(server, "max_connections", &["1", "10000000"], &["0", "10000001", "1.5"]);
    let limits = |line: &str| around("", "") + "[limits]\n" + line;
    check(limits, "head", &["\"1KB\"", "\"1MB\""], &["\"1023B\"", "\"1048577B\"", "65536"]);
    check(limits, "fields", &["1", "10000"], &["0", "10001"]);
    check(limits, "uri", &["\"64B\"", "\"1MB\""], &["\"63B\"", "\"1048577B\""]);
    check(limits, "body", &["\"0B\"", "\"1048576GB\"", "\"unlimited\""], &["\"1048577GB\"", "\"none\"", "0"]);
    check(limits, "header_timeout", &["\"100ms\"", "\"1h\""], &["\"99ms\"", "\"3601s\""]);
    for key in ["body_timeout", "idle_timeout", "tunnel_timeout"] {
        check(limits, key, &["\"100ms\"", "\"24h\""], &["\"99ms\"", "\"86401s\""]);
    }
    check(
        limits,
        "requests_per_connection",
        &["1", "1000000000", "\"unlimited\""],
        &["0", "1000000001", "\"no\""],
    );
    check(limits, "connections_per_ip", &["1", "1000000", "\"unlimited\""], &["0", "1000001"]);
    check(
        limits,
        "min_rate",
        &["\"1B/s\"", "\"1GB/s\"", "\"off\""],
        &["\"0B/s\"", "\"1073741825B/s\"", "\"1KB\""],
    );
    check(limits, "handshake_timeout", &["\"100ms\"", "\"1h\""], &["\"99ms\"", "\"3601s\""]);
    for key in ["connection_age", "tunnel_age"] {
        check(
            limits,
            key,
            &["\"1s\"", "\"720h\"", "\"unlimited\""],
            &["\"999ms\"", "\"2592001s\"", "\"off\""],
        );
    }
    check(limits, "h2_streams", &["1", "10000"], &["0", "10001", "\"unlimited\""]);
    check(limits, "h2_resets", &["1", "1000000"], &["0", "1000001"]);
    check(limits, "h2_control_frames", &["100", "1000000"], &["99", "1000001"]);
}

#[test]
fn of_a_route() {
    let route = |line: &str| around(line, "");
    check(route, "priority", &["-1000000", "1000000"], &["-1000001", "1000001", "\"1\""]);
    check(route, "timeout", &["\"1ms\"", "\"24h\""], &["\"0s\"", "\"86401s\""]);
    check(
        route,
        "retry",
        &["{ attempts = 1 }", "{ attempts = 10 }"],
        &["{ attempts = 0 }", "{ attempts = 11 }"],
    );
    check(route, "retry", &["{ on = [400, 599] }"], &["{ on = [399] }", "{ on = [600] }", "{ on = 502 }"]);
    let respond = |line: &str| around("", "") + "[routes.r]\nmatch = { path = \"/r\" }\n" + line;
    check(
        respond,
        "respond",
        &["{ status = 200 }", "{ status = 599 }"],
        &["{ status = 199 }", "{ status = 600 }"],
    );
    let body = |bytes: usize| format!("{{ body = \"{}\" }}", "x".repeat(bytes));
    assert!(load(&respond(&format!("respond = {}", body(1 << 20)))).is_ok());
    assert!(refusal(&respond(&format!("respond = {}", body((1 << 20) + 1)))).contains("at most 1MB"));
}

#[test]
fn of_an_upstream() {
    let upstream = |line: &str| around("", line);
    check(upstream, "keepalive", &["0", "10000"], &["-1", "10001"]);
    check(upstream, "keepalive_timeout", &["\"100ms\"", "\"1h\""], &["\"99ms\"", "\"3601s\""]);
    check(upstream, "connect_timeout", &["\"1ms\"", "\"5m\""], &["\"0s\"", "\"301s\""]);
    let health = |line: &str| around("", &format!("health = {{ path = \"/\", {line} }}"));
    check(health, "interval", &["\"100ms\"", "\"1h\""], &["\"99ms\"", "\"3601s\""]);
    check(health, "timeout", &["\"1ms\"", "\"5s\""], &["\"0s\""]);
    assert!(refusal(&health("timeout = \"5001ms\"")).contains("at most its `interval`"));
    for key in ["unhealthy_after", "healthy_after"] {
        check(health, key, &["1", "100"], &["0", "101"]);
    }
    check(health, "expect", &["100", "599", "[200, 204]"], &["99", "600", "[]"]);
    check(
        health,
        "host",
        &["\"a.example\"", "\"a.example:80\"", "\"[::1]:80\""],
        &["\"\"", "\"a b\"", "\"a/b\"", "\"a\\r\\nX: y\"", "\"a:65536\""],
    );
    let grpc = |line: &str| around("", &format!("protocol = \"http2\"\nhealth = {{ {line} }}"));
    let service = |bytes: usize| format!("\"{}\"", "s".repeat(bytes));
    check(grpc, "grpc", &["true", &service(1), &service(1024)], &["\"\"", "1", &service(1025)]);
    let weight = |line: &str| {
        around("", "").replace("\"127.0.0.1:3000\"", &format!("{{ address = \"127.0.0.1:3000\", {line} }}"))
    };
    check(weight, "weight", &["1", "65535"], &["0", "65536"]);
    let http2 = |line: &str| around("", &format!("protocol = \"http2\"\n{line}"));
    check(http2, "streams", &["1", "10000"], &["0", "10001"]);
    assert!(refusal(&upstream("streams = 1")).contains("`streams` is about HTTP/2; write `protocol = "));
    let endpoints = |count: usize| {
        let all: Vec<String> = (0..count).map(|n| format!("\"127.0.0.1:{}\"", n + 1)).collect();
        around("", "").replace("\"127.0.0.1:3000\"", &all.join(", "))
    };
    assert!(load(&endpoints(1_000)).is_ok());
    assert!(refusal(&endpoints(1_001)).contains("at most 1000 endpoints"));
}

#[test]
fn of_names_and_ports() {
    let named = |name: &str| {
        around("", "") + &format!("[routes.{name}]\nmatch = {{ path = \"/n\" }}\nrespond = \"ready\"\n")
    };
    assert!(load(&named(&"n".repeat(100))).is_ok());
    assert!(refusal(&named(&"n".repeat(101))).contains("at most 100 bytes"));
    assert!(load(&named("\"a.b\"")).is_ok());
    assert!(refusal(&named("\"a b\"")).contains("expected a name"));
    assert!(refusal(&named("\"\"")).contains("expected a name"));
    let port = |port: &str| {
        around("", "").replace("[upstreams", &format!("redirect_https = {{ {port} }}\n[upstreams"))
    };
    check(port, "port", &["1", "65535"], &["65536"]);
}

#[test]
fn what_narrows_cannot_widen() {
    let limits = "[limits]\nhead = \"8KB\"\nfields = 50\nuri = \"4KB\"\nbody = \"1MB\"\nbody_timeout = \"10s\"\n\
                  idle_timeout = \"20s\"\ntunnel_timeout = \"5m\"\nheader_timeout = \"5s\"\n\
                  requests_per_connection = 100\nconnections_per_ip = 10\nmin_rate = \"1KB/s\"\n\
                  connection_age = \"1h\"\ntunnel_age = \"2h\"\nhandshake_timeout = \"3s\"\n\
                  h2_streams = 10\nh2_resets = 20\n";
    let listener = |line: &str| {
        limits.to_owned() + &around("", "").replace("[upstreams", &format!("{line}\n[upstreams"))
    };
    let route = |line: &str| limits.to_owned() + &around(line, "");
    let both: [(&str, &str, &[&str]); 7] = [
        ("tunnel_age", "\"2h\"", &["\"7201s\"", "\"unlimited\""]),
        ("head", "\"8KB\"", &["\"8193B\""]),
        ("fields", "50", &["51"]),
        ("uri", "\"4KB\"", &["\"4097B\""]),
        ("body_timeout", "\"10s\"", &["\"10001ms\""]),
        ("tunnel_timeout", "\"5m\"", &["\"301s\""]),
        ("min_rate", "\"1KB/s\"", &["\"1023B/s\"", "\"off\""]),
    ];
    for (key, at, over) in both {
        check(listener, key, &[at], over);
        check(route, key, &[at], over);
    }
    check(route, "max_body", &["\"1MB\""], &["\"1048577B\"", "\"unlimited\""]);
    check(listener, "body", &["\"1MB\""], &["\"1048577B\"", "\"unlimited\""]);
    check(listener, "header_timeout", &["\"5s\""], &["\"5001ms\""]);
    check(listener, "idle_timeout", &["\"20s\""], &["\"20001ms\""]);
    check(listener, "connection_age", &["\"1h\""], &["\"3601s\"", "\"unlimited\""]);
    check(listener, "h2_streams", &["10"], &["11"]);
    check(listener, "h2_resets", &["20"], &["21"]);
    let tls = |line: &str| {
        listener(&format!("tls = {{ cert = \"certs/api.crt\", key = \"certs/api.key\" }}\n{line}"))
    };
    check(tls, "handshake_timeout", &["\"3s\""], &["\"3001ms\""]);
    check(listener, "requests_per_connection", &["100"], &["101", "\"unlimited\""]);
    check(listener, "connections_per_ip", &["10"], &["11", "\"unlimited\""]);
    // What a route is too late for is not a key of it.
    for key in [
        "header_timeout",
        "idle_timeout",
        "requests_per_connection",
        "connections_per_ip",
        "body",
        "h2_pings",
        "connection_age",
    ] {
        assert!(refusal(&route(&format!("{key} = 1"))).contains("unknown key"), "{key}");
    }
}

#[test]
fn the_narrower_limit_holds_on_a_listener() {
    let text = |listener: &str, route: &str| {
        let loaded =
            load(&around(route, "").replace("[upstreams", &format!("{listener}\n[upstreams"))).unwrap();
        let snapshot = loaded.snapshot;
        snapshot.routes.all()[0].limits.narrowed_by(&snapshot.listeners[0].limits)
    };
    let both =
        text("body = \"1KB\"\nmin_rate = \"1KB/s\"\nhead = \"2KB\"", "max_body = \"2KB\"\nuri = \"1KB\"");
    assert_eq!((both.body_bytes_max, both.min_rate), (Some(1_024), Some(1_024)));
    assert_eq!((both.head.head_bytes_max, both.head.uri_bytes_max), (2_048, 1_024));
    let route = text("", "max_body = \"2KB\"\nmin_rate = \"1KB/s\"");
    assert_eq!((route.body_bytes_max, route.min_rate), (Some(2_048), Some(1_024)));
    let ages = text("tunnel_age = \"1h\"\nconnection_age = \"2h\"\nh2_resets = 5", "tunnel_age = \"3m\"");
    assert_eq!((ages.tunnel_age, ages.connection_age), (Some(3 * MINUTE), Some(120 * MINUTE)));
    assert_eq!((ages.http2.resets_max, ages.http2.streams_max), (5, 128));
}

#[test]
fn a_limit_that_would_hold_nothing_is_refused() {
    let listener = |lines: &str| around("", "").replace("[upstreams", &format!("{lines}\n[upstreams"));
    for (lines, expected) in [
        (
            "handshake_timeout = \"5s\"",
            "3:21: listeners.http.handshake_timeout: `handshake_timeout` is about TLS, ",
        ),
        (
            "http2 = false\nh2_resets = 5",
            "4:13: listeners.http.h2_resets: `h2_resets` is about HTTP/2, which `http2 = ",
        ),
    ] {
        let said = refusal(&listener(lines));
        assert!(said.starts_with(&format!("t.toml:{expected}")) && said.lines().count() == 1, "{said}");
    }
}
