//! HTTP/1.1 through the gateway: what must arrive unchanged, what must be answered, what must be passed on.

use crate::support::{Client, Gateway, Origin, eventually, get, ok};

#[test]
fn a_request_reaches_its_origin_and_the_answer_comes_back() {
    let origin = Origin::answering("HTTP/1.1 200 Fine\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello");
    let gateway = Gateway::before(&origin);
    let response = gateway.client().get("/some/path?q=1");
    assert_eq!((response.status, response.text()), (200, "hello"));
    assert_eq!(response.field("x-one"), Some("1"));
    assert!(origin.head().starts_with("GET /some/path?q=1 HTTP/1.1\r\n"), "{}", origin.head());
}

#[test]
fn a_connection_serves_many_requests_in_turn() {
    let origin = Origin::start(|visit| {
        let answer = ok(visit.path());
        visit.send(answer);
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for i in 0..200 {
        assert_eq!(client.get(&format!("/{i}")).text(), format!("/{i}"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start(|visit| {
        let answer = ok(visit.path());
        visit.send(answer);
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let requests: String = (0..50).map(|i| get(&format!("/{i}"))).collect();
    client.send(requests);
    for i in 0..50 {
        assert_eq!(client.response().text(), format!("/{i}"));
    }
}

#[test]
fn pipelined_bodies_do_not_leak_into_the_next_request() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(ok(std::str::from_utf8(&body).unwrap()));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\none");
    client.send(
        "POST /b HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n",
    );
    client.send("POST /c HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    let answers: Vec<String> = (0..3).map(|_| client.response().text().to_owned()).collect();
    assert_eq!(answers, ["one", "two", ""]);
    assert_eq!(origin.bodies(), [b"one".to_vec(), b"two".to_vec(), Vec::new()]);
}

#[test]
fn a_head_request_gets_the_length_and_no_body() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
        let response = client.response_to("HEAD");
        assert_eq!((response.status, response.field("content-length")), (200, Some("1000")));
    }
    assert_eq!(origin.connections(), 1, "the connection was fit for reuse");
}

#[test]
fn answers_without_a_body_end_at_their_head() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
    ] {
        let origin = Origin::answering(answer);
        let gateway = Gateway::before(&origin);
        let mut client = gateway.client();
        for _ in 0..3 {
            let response = client.get("/");
            assert!(answer.starts_with(&format!("HTTP/1.1 {} ", response.status)), "{answer}");
            assert_eq!(response.field("transfer-encoding"), None, "{answer}");
        }
        assert_eq!(origin.connections(), 1, "{answer}");
    }
}

#[test]
fn chunked_bodies_pass_both_ways() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        visit.send(format!("{:x};extension=1\r\n", body.len()));
        visit.send(&body);
        visit.send("\r\n0\r\n\r\n");
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send("5;name=\"a b\"\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "hello world"));
        assert_eq!(response.field("content-length"), None);
    }
    assert_eq!(origin.bodies(), vec![b"hello world".to_vec(); 3]);
}

#[test]
fn trailers_reach_the_client() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n",
    );
    let gateway = Gateway::before(&origin);
    let response =
        gateway.client().ask("GET / HTTP/1.1\r\nHost: t\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!(response.text(), "abc");
    assert_eq!(response.trailers, [("x-sum".to_owned(), "294".to_owned())]);
}

#[test]
fn trailers_reach_the_origin() {
    let origin = Origin::start(|visit| {
        let sent = b"3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n";
        let received = visit.receive(sent.len()).unwrap_or_default();
        visit.send(ok(&String::from_utf8_lossy(&received)));
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
    client.send("3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n");
    assert_eq!(client.response().text(), "3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n");
}

#[test]
fn a_body_without_a_length_ends_with_the_origins_connection() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "until the end");
        assert_eq!(
            response.field("transfer-encoding"),
            Some("chunked"),
            "so that its end can be told from a cut"
        );
    }
}

#[test]
fn a_100_continue_is_given_when_the_origin_gives_it() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = visit.body();
        visit.send(ok(std::str::from_utf8(&body).unwrap()));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response_to("POST").status, 100);
    client.send("body");
    assert_eq!(client.response_to("POST").text(), "body", "and one 100 only");
}

#[test]
fn a_refused_expectation_is_refused_before_the_body() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    let response = client.response_to("POST");
    assert_eq!((response.status, response.text()), (403, "no"));
}

#[test]
fn the_gateway_refuses_an_expectation_itself_before_the_body() {
    let origin = Origin::saying("never");
    let gateway =
        Gateway::start(&format!("{}\n[limits]\nbody = \"1KB\"\n", crate::support::proxying(&origin)));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response_to("POST").status, 413);
    client.expect_closed();
    assert_eq!(origin.requests(), 0);
}

#[test]
fn early_hints_are_forwarded_before_the_answer() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        visit.send("HTTP/1.1 103 Early Hints\r\nLink: </b.js>; rel=preload\r\n\r\n");
        visit.send(ok("page"));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/"));
    let hints = client.response_to("GET");
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>; rel=preload")));
    assert_eq!(client.response_to("GET").field("link"), Some("</b.js>; rel=preload"));
    assert_eq!(client.response_to("GET").text(), "page");
}

#[test]
fn an_http_1_0_client_gets_no_interim_answer_and_no_chunks() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nHost: t\r\n\r\n");
    let response = client.response_to("GET");
    assert_eq!((response.status, response.text()), (200, "abc"), "ended by the close");
    assert_eq!(response.field("transfer-encoding"), None);
}

#[test]
fn an_http_1_0_client_may_ask_to_keep_its_connection() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        let response = client.ask("GET / HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!((response.text(), response.field("connection")), ("x", Some("keep-alive")));
    }
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").text(), "x");
    client.expect_closed();
}

#[test]
fn a_client_that_asks_for_a_close_gets_one() {
    let origin = Origin::saying("bye");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let response = client.ask("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert_eq!((response.text(), response.field("connection")), ("bye", Some("close")));
    client.expect_closed();
    assert!(!origin.head().to_ascii_lowercase().contains("connection: close"), "the hop ends here");
}

#[test]
fn a_target_in_absolute_form_gives_path_and_host() {
    let origin = Origin::mirror();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let head =
        client.ask("GET http://named.example:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n").text().to_owned();
    assert!(head.starts_with("GET /p?q HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("Host: named.example:81\r\n") || head.contains("host: named.example:81\r\n"),
        "{head}"
    );
    assert!(!head.contains("other"), "{head}");
}

#[test]
fn one_normal_form_of_the_path_is_matched_and_forwarded() {
    let origin = Origin::start(|visit| {
        let answer = ok(visit.path());
        visit.send(answer);
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for (sent, forwarded) in [
        ("/a/../b", "/b"),
        ("/a/./b/", "/a/b/"),
        ("//a///b", "/a/b"),
        ("/%61%2d%5f", "/a-_"),
        ("/a%2fb", "/a%2Fb"),
        ("/%2e%2E/b", ""),
        ("/a/%2e%2e/b?x=/../y", "/b?x=/../y"),
        ("/caf%c3%a9", "/caf%C3%A9"),
    ] {
        let response = client.get(sent);
        if forwarded.is_empty() {
            assert_eq!(response.status, 400, "{sent}: a step above the root");
            client = gateway.client();
        } else {
            assert_eq!(response.text(), forwarded, "{sent}");
        }
    }
}

#[test]
fn an_upgraded_connection_echoes_both_ways_until_one_side_leaves() {
    let origin = Origin::start(|visit| {
        assert_eq!(visit.field("upgrade").as_deref(), Some("echo"));
        assert_eq!(visit.field("connection").map(|v| v.to_ascii_lowercase()).as_deref(), Some("upgrade"));
        visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst");
        while let Some(bytes) = visit.receive(4) {
            visit.send(bytes);
        }
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("GET /chat HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    let switch = client.response_to("GET");
    assert_eq!((switch.status, switch.field("upgrade")), (101, Some("echo")));
    assert_eq!(client.exactly(5), b"first");
    for word in ["ping", "pong", "\0\r\n\r"] {
        client.send(word);
        assert_eq!(client.exactly(4), word.as_bytes());
    }
    drop(client);
    eventually("the origin's end of the tunnel is closed", || origin.open_connections() == 0);
}

#[test]
fn a_tunnel_carries_a_half_close() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        visit.until_peer_leaves();
        visit.send("last words");
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response_to("GET").status, 101);
    client.finish();
    assert_eq!(client.rest(), (b"last words".to_vec(), true));
}

#[test]
fn a_tunnel_holds_back_a_sender_whose_reader_is_slow() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        let flood = vec![7; 64 << 20];
        visit.send(&flood);
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let before = gateway.resident_kib();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.head().status, 101);
    let first = client.exactly(1 << 20);
    assert!(gateway.resident_kib() < before + 8 * 1024, "{} KiB more", gateway.resident_kib() - before);
    let (rest, _) = client.rest();
    assert_eq!(first.len() + rest.len(), 64 << 20);
}

#[test]
fn an_upgrade_that_the_origin_declines_is_a_plain_answer() {
    let origin = Origin::saying("no upgrade here");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let request = "GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(client.ask(request).text(), "no upgrade here");
    assert_eq!(client.get("/next").text(), "no upgrade here");
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_bad_gateway() {
    let origin =
        Origin::answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    let gateway = Gateway::before(&origin);
    let response = gateway.client().get("/");
    assert_eq!(response.status, 502);
    assert!(response.reason().starts_with("upstream."), "{}", response.reason());
}

#[test]
fn connect_is_refused() {
    let origin = Origin::saying("never");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let response = client.ask("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
    assert_eq!((response.status, response.reason().as_str()), (405, "request.connect"));
    client.expect_closed();
    assert_eq!(origin.requests(), 0);
}

#[test]
fn options_of_the_whole_server_is_answered_by_the_gateway() {
    let origin = Origin::saying("never");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let response = client.ask("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(response.status, 204);
    assert!(response.field("allow").unwrap().contains("GET"), "{}", response.head);
    assert_eq!(origin.requests(), 0);
    assert_eq!(client.get("/").text(), "never", "the connection lives on");
}

#[test]
fn any_method_token_is_forwarded() {
    let origin = Origin::mirror();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "x-own"] {
        let response = client.ask(format!("{method} /m HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert!(response.text().starts_with(&format!("{method} /m HTTP/1.1\r\n")), "{}", response.text());
    }
}

#[test]
fn two_workers_serve_the_same_address() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&format!("{}\n[server]\nworkers = 2\n", crate::support::proxying(&origin)));
    let mut clients: Vec<Client> = (0..64).map(|_| gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").text(), "x");
    }
}

#[test]
fn bytes_sent_ahead_of_the_switch_reach_the_other_end_of_the_tunnel() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        let early = visit.receive(5).unwrap_or_default();
        visit.send(early);
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly");
    assert_eq!(client.response_to("GET").status, 101);
    assert_eq!(client.rest(), (b"early".to_vec(), true));
}

#[test]
fn requests_behind_one_that_closes_are_not_answered() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(format!("GET /1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n{}", get("/2")));
    assert_eq!(client.response().text(), "x");
    client.expect_closed();
    assert_eq!(origin.requests(), 1);
}

#[test]
fn an_expectation_that_is_not_known_is_refused() {
    let origin = Origin::saying("never");
    let gateway = Gateway::before(&origin);
    let response = gateway.client().ask("GET / HTTP/1.1\r\nHost: t\r\nExpect: magic\r\n\r\n");
    assert_eq!(response.status, 417, "{}", response.text());
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_head_request_to_nowhere_is_an_error_without_a_body() {
    let gateway = Gateway::start("[routes.a]\nmatch = { path = \"/a\" }\nrespond = \"health\"\n");
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send("HEAD /b HTTP/1.1\r\nHost: t\r\n\r\n");
        let response = client.response_to("HEAD");
        assert_eq!(response.status, 404);
        assert_ne!(response.field("content-length"), Some("0"), "what a GET would have");
    }
}
