//! What an operator sees: the commands, the log, the metrics, and that bad input leaves nothing behind.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Client, Gateway, Origin, eventually, fresh_dir, get, proxying};

/// Runs the binary: whether it succeeded, and all that it printed.
fn ringway(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ringway")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

/// Writes a file into a fresh folder; its path.
fn file(text: &str) -> String {
    let path = fresh_dir().join("ringway.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const GOOD: &str = "[listeners.http]\nbind = \"127.0.0.1:8080\"\n\
    [routes.users]\nmatch = { prefix = \"/users/\", methods = [\"GET\"] }\nupstream = \"users\"\ntimeout = \"7s\"\n\
    [routes.one]\nmatch = { pattern = \"/users/{id}\" }\nupstream = \"users\"\n\
    [routes.health]\npriority = 1000\nmatch = { path = \"/health\" }\nrespond = \"health\"\n\
    [upstreams.users]\nendpoints = [\"127.0.0.1:3000\"]\n";

#[test]
fn check_accepts_a_good_file() {
    let (good, said) = ringway(&["check", &file(GOOD)]);
    assert!(good, "{said}");
}

#[test]
fn check_names_every_error_with_its_place_and_the_nearest_key() {
    let bad = GOOD
        .replace("timeout =", "timeuot =")
        .replace("respond =", "repsond =")
        .replace("endpoints", "endpoint");
    let path = file(&bad);
    let (good, said) = ringway(&["check", &path]);
    assert!(!good);
    for (line, wrong, right) in
        [(6, "timeuot", "timeout"), (13, "repsond", "respond"), (15, "endpoint", "endpoints")]
    {
        let found = said
            .lines()
            .any(|l| l.contains(&format!("ringway.toml:{line}:")) && l.contains(wrong) && l.contains(right));
        assert!(found, "no line with :{line}: {wrong} {right} in:\n{said}");
    }
}

#[test]
fn check_names_a_reference_to_nothing() {
    let (good, said) = ringway(&[
        "check",
        &file(&GOOD.replace("upstream = \"users\"\ntimeout", "upstream = \"user\"\ntimeout")),
    ]);
    assert!(!good);
    assert!(said.contains("ringway.toml:5:") && said.contains("users"), "{said}");
}

#[test]
fn check_names_a_file_that_is_not_there_or_not_toml() {
    let (good, said) = ringway(&["check", "/nonexistent/ringway.toml"]);
    assert!(!good && said.contains("/nonexistent/ringway.toml"), "{said}");
    let (good, said) = ringway(&["check", &file("[listeners.http\nbind = 1\n")]);
    assert!(!good && said.contains("ringway.toml:1:"), "{said}");
}

#[test]
fn check_shows_the_effective_configuration() {
    let (good, said) = ringway(&["check", "--effective", &file(GOOD)]);
    assert!(good, "{said}");
    for key in
        ["drain_timeout", "header_timeout", "idle_timeout", "keepalive", "connect_timeout", "7s", "io_uring"]
    {
        assert!(said.contains(key), "no {key} in:\n{said}");
    }
}

#[test]
fn explain_says_which_route_and_why() {
    let path = file(GOOD);
    let (good, said) = ringway(&["explain", "-c", &path, "GET", "http://shop.example/users/7"]);
    assert!(good, "{said}");
    for word in ["one", "users", "127.0.0.1:3000", "7"] {
        assert!(said.contains(word), "no {word} in:\n{said}");
    }
    let (_, said) = ringway(&["explain", "-c", &path, "POST", "/users/7/posts"]);
    assert!(said.contains("405") && said.contains("GET"), "{said}");
    let (_, said) = ringway(&["explain", "-c", &path, "GET", "/elsewhere", "-H", "X-Beta: 1"]);
    assert!(said.contains("404"), "{said}");
}

#[test]
fn routes_are_listed_in_the_order_in_which_they_are_tried() {
    let (good, said) = ringway(&["routes", "-c", &file(GOOD)]);
    assert!(good, "{said}");
    let at = |name: &str| said.lines().position(|line| line.split_whitespace().nth(1) == Some(name));
    let (health, one, users) = (at("health"), at("one"), at("users"));
    assert!(health.is_some() && health < one && one < users, "{said}");
}

#[test]
fn the_version_is_told() {
    let (good, said) = ringway(&["--version"]);
    assert!(good && said.starts_with("ringway ") && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
}

#[test]
fn a_command_that_does_not_exist_is_refused() {
    let (good, said) = ringway(&["chekc", "x"]);
    assert!(!good && said.contains("check"), "{said}");
    let (good, _) = ringway(&["run", "-c"]);
    assert!(!good);
}

#[test]
fn a_bad_file_does_not_start() {
    let (good, said) = ringway(&["run", "-c", &file(&GOOD.replace("timeout", "timeuot"))]);
    assert!(!good && said.contains("ringway.toml:6:"), "{said}");
}

#[test]
fn the_first_log_line_says_which_driver_and_flags_run() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    gateway.line_with(&["gateway.started"]);
    let errors = std::fs::read_to_string(gateway.dir().join("stderr")).unwrap();
    let first: Value = serde_json::from_str(errors.lines().next().unwrap()).unwrap();
    assert_eq!(first["event"], "gateway.started", "{first}");
    assert!(["io_uring", "epoll"].contains(&first["driver"].as_str().unwrap()), "{first}");
    assert!(first["flags"].is_string(), "{first}");
}

#[test]
fn an_access_line_says_all_about_an_exchange() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let fields = "Host: shop.example\r\nUser-Agent: curl/8 \"x\"\r\nReferer: http://r/\r\n";
    let response = gateway.client().ask(format!("GET /a'b?q=1 HTTP/1.1\r\n{fields}\r\n"));
    assert_eq!(response.text(), "x");
    let line: Value = serde_json::from_str(&gateway.line_with(&["request_id", "shop.example"])).unwrap();
    for (key, value) in [
        ("method", "GET"),
        ("path", "/a'b?q=1"),
        ("host", "shop.example"),
        ("protocol", "HTTP/1.1"),
        ("ip", "127.0.0.1"),
        ("route", "all"),
        ("upstream", "origin"),
        ("endpoint", origin.address()),
        ("user_agent", "curl/8 \"x\""),
        ("referer", "http://r/"),
        ("reason", ""),
        ("listener", "http"),
        ("message", "request"),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert_eq!(Some(line["request_id"].as_str().unwrap()), response.field("x-request-id"));
    assert_eq!((line["status"].as_u64(), line["attempts"].as_u64()), (Some(200), Some(1)));
    assert!(line["bytes_in"].as_u64() > Some(50) && line["bytes_out"].as_u64() > Some(50), "{line}");
    assert!(line["duration_ms"].is_number() && line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    let stages: Vec<u64> = ["head_us", "filters_us", "connect_us", "sent_us", "first_byte_us", "total_us"]
        .map(|stage| line[stage].as_u64().unwrap_or_else(|| panic!("{stage} in {line}")))
        .to_vec();
    assert!(stages.is_sorted(), "{line}");
}

#[test]
fn an_access_line_names_the_reason_of_a_failure() {
    let gateway = Gateway::start(
        &proxying(&Origin::saying("x")).replace("endpoints = [\"", "endpoints = [\"127.99.0.1:1\"] #"),
    );
    let reason = gateway.client().get("/refused").reason();
    let line: Value = serde_json::from_str(&gateway.line_with(&["/refused"])).unwrap();
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(502), Some(reason.as_str())));
    let mut client = gateway.client();
    client.send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let reason = client.response().reason();
    let line: Value = serde_json::from_str(&gateway.line_with(&[reason.as_str()])).unwrap();
    assert_eq!(line["status"].as_u64(), Some(400));
}

#[test]
fn a_route_may_keep_out_of_the_access_log_and_the_log_may_be_a_file() {
    let gateway = Gateway::start(
        "[log]\naccess = \"DIR/access.log\"\n\
         [routes.quiet]\nmatch = { path = \"/quiet\" }\nrespond = \"health\"\naccess_log = false\n\
         [routes.loud]\nmatch = { path = \"/loud\" }\nrespond = \"health\"\n",
    );
    let mut client = gateway.client();
    client.get("/quiet");
    client.get("/loud");
    let log = gateway.dir().join("access.log");
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the line is written", || text().contains("/loud"));
    assert!(!text().contains("/quiet") && !gateway.output().contains("/loud"), "{}", text());
}

/// A gateway with metrics, some traffic behind it, and the scraped text.
fn scraped() -> String {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&format!("{}\n[metrics]\nbind = \"GATEWAY:9090\"\n", proxying(&origin)));
    let mut client = gateway.client();
    for _ in 0..7 {
        client.get("/some/path");
    }
    client.ask("POST /other HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    gateway.client().ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let mut text = String::new();
    eventually("the counters have been folded", || {
        let page = Client::connect(gateway.at(9090))
            .ask("GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        assert_eq!(page.status, 200);
        assert!(page.field("content-type").unwrap().starts_with("text/plain"), "{}", page.head);
        text = page.text().to_owned();
        value(&text, "http_requests_total", &["method=\"GET\"", "status=\"200\""]) == Some(7.0)
            && text.contains("method=\"POST\"")
            && text.contains("request.host.repeated")
    });
    text
}

/// The value of the first sample of a name with all of these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = text.lines().find(|l| l.starts_with(name) && labels.iter().all(|label| l.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_count_what_happened_under_the_routes_name() {
    let text = scraped();
    let of_route = ["endpoint=\"all\"", "service=\"origin\""];
    assert_eq!(
        value(&text, "http_requests_total", &[of_route[0], of_route[1], "method=\"POST\""]),
        Some(1.0),
        "{text}"
    );
    assert_eq!(
        value(&text, "http_request_duration_seconds_count", &[of_route[0], "method=\"GET\""]),
        Some(7.0),
        "{text}"
    );
    assert!(value(&text, "http_active_connections", &[]).is_some(), "{text}");
    assert!(text.contains("request.host.repeated"), "the refusal's reason: {text}");
    let names: BTreeSet<&str> =
        text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split(['{', ' ']).next()).collect();
    for part in ["upstream", "health", "driver", "dropped"] {
        assert!(
            names.iter().any(|name| name.contains(part)) || text.contains(part),
            "nothing about {part}: {names:?}"
        );
    }
}

#[test]
fn promtool_accepts_the_metrics() {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var_os("RINGWAY_REQUIRE_PEERS").is_none(), "promtool is missing");
        return;
    }
    let path = fresh_dir().join("metrics");
    std::fs::write(&path, scraped()).unwrap();
    let stdin = std::fs::File::open(&path).unwrap();
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(stdin).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// A gateway with one route for each thing that can go wrong, and an origin that does it.
fn faulty(origin: &Origin) -> Gateway {
    let route = |name: &str, keys: &str| {
        format!("[routes.{name}]\nmatch = {{ prefix = \"/{name}\" }}\nreason_header = true\n{keys}\n")
    };
    let origin = origin.address();
    Gateway::start(&format!(
        "{}{}{}{}{}{}{}[upstreams.o]\nendpoints = [\"{origin}\"]\n\
         [upstreams.dead]\nendpoints = [\"{}\"]\n[upstreams.nobody]\nendpoints = [\"no-such-name.invalid:80\"]\n\
         [metrics]\nbind = \"GATEWAY:9090\"\n[limits]\nheader_timeout = \"300ms\"\n",
        route("reset", "upstream = \"o\""),
        route("garbage", "upstream = \"o\""),
        route("cut", "upstream = \"o\""),
        route("silent", "upstream = \"o\"\ntimeout = \"200ms\"\nmax_body = \"1KB\""),
        route("dead", "upstream = \"dead\""),
        route("nobody", "upstream = \"nobody\""),
        "[routes.get]\nmatch = { path = \"/get\", methods = [\"GET\"] }\nrespond = \"health\"\n",
        Origin::nowhere(),
    ))
}

#[test]
fn each_fault_has_one_word_in_answer_header_log_and_metrics() {
    let origin = Origin::start(|visit| match visit.path() {
        "/reset" => visit.close(),
        "/garbage" => visit.send("nonsense\r\n\r\n"),
        "/cut" => {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
            visit.close();
        }
        _ => visit.until_peer_leaves(),
    });
    let gateway = faulty(&origin);
    let put = "PUT /silent HTTP/1.1\r\nHost: t\r\nContent-Length: 2000\r\n\r\n".to_owned();
    let mut words = vec!["upstream.truncated".to_owned(), "limit.header_timeout".to_owned()];
    for (request, status, word) in [
        (get("/reset"), 502, "upstream.reset.before_headers"),
        (get("/garbage"), 502, "response."),
        (get("/silent"), 504, "upstream.timeout"),
        (put, 413, "limit.body"),
        (get("/dead"), 502, "upstream.connect.refused"),
        (get("/nobody"), 503, "upstream.unavailable"),
        (get("/elsewhere"), 404, "route.not_found"),
        (get("/get").replace("GET", "POST"), 405, "route.method"),
        (get("/.."), 400, "request.path"),
    ] {
        let response = gateway.client().ask(&request);
        assert_eq!(response.status, status, "{request}: {}", response.text());
        let reason = response.reason();
        assert!(reason.starts_with(word), "{request}: {reason}");
        if response.field("x-ringway-reason").is_some() || request.contains("/dead") {
            assert_eq!(response.field("x-ringway-reason"), Some(reason.as_str()), "{request}");
        }
        words.push(reason);
    }
    let mut cut = gateway.client();
    cut.send(get("/cut"));
    assert!(cut.try_response("GET").is_err());
    let mut slow = gateway.client();
    slow.send("GET ");
    assert_eq!(slow.response().status, 408);
    let scrape = || {
        Client::connect(gateway.at(9090)).ask("GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    };
    for word in words {
        let line = gateway.line_with(&[&format!("\"reason\":\"{word}\"")]);
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
        eventually(&format!("{word} is counted"), || scrape().text().contains(&format!("reason=\"{word}\"")));
    }
}

#[test]
fn an_access_line_is_json_whatever_the_client_sends() {
    let gateway = Gateway::start("[routes.a]\nmatch = { prefix = \"/\" }\nrespond = \"health\"\n");
    let mut client = gateway.client();
    let mut agent: Vec<u8> = (0x21..=0xff).filter(|byte| *byte != 0x7f).collect();
    agent.push(b'\t');
    agent.push(b'x');
    let request = [&b"GET /odd?\"\\ HTTP/1.1\r\nHost: t\r\nUser-Agent: "[..], &agent, b"\r\n\r\n"].concat();
    client.send(request);
    let status = client.response().status;
    let word = if status == 200 { "/odd" } else { "request." };
    let line: Value = serde_json::from_str(&gateway.line_with(&["\"request_id\"", word])).unwrap();
    assert_eq!(line["status"].as_u64(), Some(status.into()));
}

/// Bytes that differ from call to call and from run to run not at all.
fn noise(seed: &mut u64, count: usize) -> Vec<u8> {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn no_bytes_from_a_client_stop_a_worker_or_leave_anything_behind() {
    let origin = Origin::saying("x");
    // One idle connection to the origin, however many requests were under way at once.
    let gateway = Gateway::start(&format!("{}\nkeepalive = 1\n", proxying(&origin)));
    assert_eq!(gateway.client().get("/").text(), "x");
    eventually("the first connection is gone", || gateway.open_sockets_to(8080) == 0);
    let before = gateway.descriptors();
    let mut seed = 42;
    for round in 0..600_usize {
        let mut bytes = match round % 4 {
            0 => Vec::new(),
            1 => b"GET / HTTP/1.1\r\nHost: t\r\n".to_vec(),
            2 => b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            _ => b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n".to_vec(),
        };
        bytes.extend(noise(&mut seed, 1 + round % 97));
        // Somewhere a byte is changed, as if by a bad link.
        let at = round * 31 % bytes.len();
        bytes[at] = bytes[at].wrapping_add(u8::try_from(round % 3).unwrap());
        let mut client = gateway.client();
        client.send(&bytes);
        if round % 2 == 0 {
            client.finish();
            client.rest();
        }
    }
    assert_eq!(gateway.client().get("/").text(), "x");
    eventually("every connection is gone", || gateway.open_sockets_to(8080) == 0);
    eventually("every descriptor is given back", || gateway.descriptors() <= before);
    assert!(!gateway.output().contains("panicked"), "{}", gateway.output());
}

#[test]
fn no_bytes_from_an_origin_stop_a_worker_or_leave_anything_behind() {
    let origin = Origin::start(|visit| {
        let mut seed = visit.number() as u64;
        let round = usize::try_from(seed).unwrap();
        let mut bytes = match round % 5 {
            0 => Vec::new(),
            1 => b"HTTP/1.1 200 OK\r\n".to_vec(),
            2 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            3 => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec(),
            _ => b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
        };
        bytes.extend(noise(&mut seed, round % 97));
        visit.send(&bytes);
        visit.close();
    });
    let gateway = Gateway::start(&format!(
        "{}\n[routes.well]\nmatch = {{ path = \"/well\" }}\nrespond = \"health\"\n",
        proxying(&origin)
    ));
    assert_eq!(gateway.client().get("/well").status, 200);
    eventually("the first connection is gone", || gateway.open_sockets_to(8080) == 0);
    let before = gateway.descriptors();
    for round in 0..400 {
        let mut client = gateway.client();
        client.send(get(&format!("/{round}")).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
        client.rest();
    }
    assert_eq!(gateway.client().get("/well").status, 200);
    eventually("every descriptor is given back", || gateway.descriptors() <= before);
    assert!(!gateway.output().contains("panicked"), "{}", gateway.output());
}

#[test]
fn connections_give_their_descriptors_back() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    assert_eq!(gateway.client().get("/").text(), "x");
    eventually("the first connection is gone", || gateway.open_sockets_to(8080) == 0);
    let before = gateway.descriptors();
    for _ in 0..5 {
        let mut clients: Vec<Client> = (0..100).map(|_| gateway.client()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").status, 200);
        }
        drop(clients);
        eventually("every descriptor is given back", || gateway.descriptors() <= before);
    }
}
