//! Connections to endpoints: kept, counted, watched, and never used once their endpoint has closed them.

use crate::support::{Gateway, Origin, eventually, get, ok};

/// One route to one origin, with further keys of the upstream.
fn with_upstream(origin: &Origin, keys: &str) -> Gateway {
    Gateway::start(&format!("{}\n{keys}\n", crate::support::proxying(origin)))
}

#[test]
fn a_connection_is_shared_by_clients_in_turn() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    for _ in 0..20 {
        assert_eq!(gateway.client().get("/").text(), "x");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_idle_connection_that_its_endpoint_closed_is_never_used() {
    let origin = Origin::start(|visit| {
        visit.body();
        visit.send(ok("x"));
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for round in 0..200 {
        let response = client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\na");
        assert_eq!(response.status, 200, "round {round}: {}", response.text());
        eventually("the endpoint has closed", || origin.open_connections() == 0);
    }
    assert_eq!(origin.requests(), 200, "each was sent once");
}

#[test]
fn a_get_that_meets_the_close_is_never_answered_with_502() {
    let origin = Origin::start(|visit| {
        visit.send(ok("x"));
        if visit.nth == 3 {
            visit.close();
        }
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for round in 0..1000 {
        let response = client.get("/");
        assert_eq!(response.status, 200, "round {round}: {}", response.text());
    }
}

#[test]
fn a_get_on_a_dying_connection_is_sent_once_more() {
    for reset in [false, true] {
        let origin = Origin::start(move |visit| match (visit.nth, reset) {
            (1, _) => visit.send(ok("x")),
            (_, true) => visit.reset(),
            (_, false) => visit.close(),
        });
        let gateway = Gateway::before(&origin);
        let mut client = gateway.client();
        assert_eq!(client.get("/first").status, 200);
        let response = client.get("/second");
        assert_eq!(response.status, 200, "reset: {reset}: {}", response.text());
        let paths: Vec<String> =
            origin.heads().iter().map(|h| h.split(' ').nth(1).unwrap().to_owned()).collect();
        assert_eq!(paths, ["/first", "/second", "/second"]);
    }
}

#[test]
fn a_post_on_a_dying_connection_is_not_sent_again() {
    let origin = Origin::start(|visit| {
        visit.body();
        if visit.nth == 1 {
            return visit.send(ok("x"));
        }
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get("/first").status, 200);
    let response = client.ask("POST /second HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\na");
    assert_eq!(response.status, 502);
    assert!(response.reason().starts_with("upstream."), "{}", response.reason());
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_get_on_a_fresh_connection_that_dies_is_a_bad_gateway() {
    let origin = Origin::start(|visit| {
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let response = gateway.client().get("/");
    assert_eq!(response.status, 502);
    assert!(response.reason().starts_with("upstream."), "{}", response.reason());
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_get_whose_answer_has_begun_is_not_sent_again() {
    let origin = Origin::start(|visit| {
        if visit.nth == 1 {
            return visit.send(ok("x"));
        }
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx");
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    client.send(get("/"));
    assert!(client.try_response("GET").is_err());
    assert_eq!(origin.requests(), 2);
}

#[test]
fn as_many_idle_connections_are_kept_as_the_file_says() {
    let origin = Origin::start(|visit| {
        visit.wait_for_requests(8);
        visit.send(ok("x"));
    });
    let gateway = with_upstream(&origin, "keepalive = 2");
    let mut clients: Vec<_> = (0..8).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "x");
    }
    assert_eq!(origin.connections(), 8);
    eventually("two are left", || origin.open_connections() == 2);
    assert_eq!(clients[0].get("/").text(), "x");
    assert_eq!(origin.connections(), 8, "one of the two was used");
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let origin = Origin::saying("x");
    let gateway = with_upstream(&origin, "keepalive_timeout = \"300ms\"");
    assert_eq!(gateway.client().get("/").text(), "x");
    assert_eq!(origin.open_connections(), 1);
    eventually("it is closed", || origin.open_connections() == 0);
    assert_eq!(gateway.client().get("/").text(), "x");
}

#[test]
fn an_answer_that_closes_is_believed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let origin = Origin::answering(answer);
        let gateway = Gateway::before(&origin);
        let mut client = gateway.client();
        for _ in 0..5 {
            let response = client.get("/");
            assert_eq!((response.status, response.text()), (200, "x"), "{answer}");
        }
        assert_eq!(origin.connections(), 5, "{answer}");
    }
}

#[test]
fn an_http_1_0_origin_may_keep_its_connection() {
    let origin = Origin::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx");
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "x");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_connection_is_not_reused_before_the_request_body_is_sent() {
    let origin = Origin::start(|visit| {
        visit.send(ok("early"));
        visit.count_body();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("PUT /1 HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n12345");
    assert_eq!(client.response().text(), "early");
    assert_eq!(gateway.client().get("/2").text(), "early");
    assert!(origin.heads().iter().all(|head| head.starts_with("PUT /1 ") || head.starts_with("GET /2 ")));
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_origin_that_dies_and_comes_back_is_used_again() {
    let origin = Origin::saying("before");
    let address = origin.socket_address();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get("/").text(), "before");
    origin.die();
    assert_eq!(client.get("/").status, 502);
    let _again = Origin::start_at(address, |visit| visit.send(ok("after")));
    assert_eq!(client.get("/").text(), "after");
}
