//! Which endpoint a request goes to: weights, health, failures, retries and time limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Socket, Type};

use crate::support::{Gateway, Origin, eventually, fresh_dir, ok, own_address};

/// One route with further keys, and an upstream with endpoints (as in TOML) and further keys.
fn gateway(route: &str, endpoints: &str, upstream: &str) -> Gateway {
    Gateway::start(&format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"u\"\n{route}\n\
         [upstreams.u]\nendpoints = [{endpoints}]\n{upstream}\n"
    ))
}

fn quoted(origins: &[&Origin]) -> String {
    origins.iter().map(|origin| format!("\"{}\"", origin.address())).collect::<Vec<_>>().join(", ")
}

const POST: &str = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\na";
const RETRY: &str = "retry = { attempts = 3, on = [502, 503, 504] }";

#[test]
fn weights_are_obeyed_and_spread() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let endpoints = format!(
        "{{ address = \"{}\", weight = 100 }}, {{ address = \"{}\", weight = 50 }}",
        a.address(),
        b.address()
    );
    let gateway = gateway("", &endpoints, "");
    let mut client = gateway.client();
    let turns: Vec<String> = (0..30).map(|_| client.get("/").text().to_owned()).collect();
    for three in turns.chunks(3) {
        assert_eq!(three.iter().filter(|name| *name == "b").count(), 1, "{turns:?}");
    }
}

#[test]
fn equal_endpoints_take_turns() {
    let origins = [Origin::saying("a"), Origin::saying("b"), Origin::saying("c")];
    let gateway = gateway("", &quoted(&origins.each_ref()), "");
    let mut client = gateway.client();
    let turns: String = (0..30).map(|_| client.get("/").text().to_owned()).collect();
    assert_eq!(turns, turns.chars().take(3).collect::<String>().repeat(10));
    assert_eq!(origins.map(|origin| origin.requests()), [10, 10, 10]);
}

/// An origin that says its name, and whose `/health` is 200 or 500 as the flag says.
fn checked(name: &'static str) -> (Origin, Arc<AtomicBool>) {
    let healthy = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&healthy);
    let origin = Origin::start(move |visit| match visit.path() {
        "/health" if flag.load(Ordering::SeqCst) => visit.send(ok("well")),
        "/health" => visit.send("HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n"),
        _ => visit.send(ok(name)),
    });
    (origin, healthy)
}

const HEALTH: &str = "health = { path = \"/health\", expect = 200, interval = \"200ms\", timeout = \"200ms\", \
                      unhealthy_after = 3, healthy_after = 2 }";

#[test]
fn traffic_leaves_an_ill_endpoint_and_comes_back() {
    let ((a, a_healthy), (b, _)) = (checked("a"), checked("b"));
    let gateway = gateway("", &quoted(&[&a, &b]), HEALTH);
    let mut client = gateway.client();
    let mut ten = || (0..10).map(|_| client.get("/").text().to_owned()).collect::<String>();
    eventually("both are used", || ten().contains('a') && ten().contains('b'));
    a_healthy.store(false, Ordering::SeqCst);
    eventually("only b is used", || ten() == "b".repeat(10));
    a_healthy.store(true, Ordering::SeqCst);
    eventually("a is used again", || ten().contains('a'));
}

#[test]
fn without_a_healthy_endpoint_the_answer_is_503() {
    let (a, healthy) = checked("a");
    let gateway = gateway("", &quoted(&[&a]), HEALTH);
    let mut client = gateway.client();
    healthy.store(false, Ordering::SeqCst);
    let mut last = client.get("/");
    eventually("503", || {
        last = client.get("/");
        last.status == 503
    });
    assert!(last.reason().starts_with("upstream."), "{}", last.reason());
    healthy.store(true, Ordering::SeqCst);
    eventually("200 again", || client.get("/").status == 200);
}

#[test]
fn a_check_that_gets_no_answer_counts_as_a_failure() {
    let a = Origin::saying("a");
    let endpoints = format!("\"{}\", \"{}\"", Origin::nowhere(), a.address());
    let gateway = gateway("", &endpoints, HEALTH);
    let mut client = gateway.client();
    eventually("the dead endpoint is out", || (0..10).all(|_| client.get("/").status == 200));
}

#[test]
fn one_prober_checks_for_all_workers() {
    let (a, _) = checked("a");
    let text = "[server]\nworkers = 2\n[routes.all]\nmatch = { prefix = \"/\" }\nupstream = \"u\"\n";
    let gateway =
        Gateway::start(&format!("{text}[upstreams.u]\nendpoints = [{}]\n{HEALTH}\n", quoted(&[&a])));
    let began = crate::support::now();
    eventually("some checks", || a.requests() >= 5);
    let at_most = crate::support::now().duration_since(began).as_millis() / 200 + 3;
    assert!(a.requests() as u128 <= at_most, "{} checks, at most {at_most} expected", a.requests());
    drop(gateway);
}

#[test]
fn a_refused_connection_is_tried_at_the_next_endpoint() {
    let a = Origin::saying("a");
    let gateway = gateway(RETRY, &format!("\"{}\", \"{}\"", Origin::nowhere(), a.address()), "");
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "a");
        assert_eq!(client.ask(POST).text(), "a", "nothing had been sent");
    }
}

#[test]
fn refused_everywhere_is_502_with_its_reason() {
    let gateway = gateway("", &format!("\"{}\"", Origin::nowhere()), "");
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.reason().as_str()), (502, "upstream.connect.refused"));
}

#[test]
fn listed_statuses_are_tried_again_elsewhere() {
    for status in [502, 503, 504] {
        let ill = Origin::answering(format!("HTTP/1.1 {status} Ill\r\nContent-Length: 3\r\n\r\nill"));
        let well = Origin::saying("well");
        let gateway = gateway(RETRY, &quoted(&[&ill, &well]), "");
        let mut client = gateway.client();
        for _ in 0..6 {
            assert_eq!(client.get("/").text(), "well", "{status}");
        }
        assert!(ill.requests() > 0);
    }
}

#[test]
fn other_statuses_are_not_tried_again() {
    let origin = Origin::answering("HTTP/1.1 500 Ill\r\nContent-Length: 3\r\n\r\nill");
    let gateway = gateway(RETRY, &quoted(&[&origin]), "");
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.text()), (500, "ill"));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn the_last_answer_is_given_once_the_attempts_are_spent() {
    let origin = Origin::answering("HTTP/1.1 503 Ill\r\nX-Own: 1\r\nContent-Length: 3\r\n\r\nill");
    let gateway = gateway(RETRY, &quoted(&[&origin]), "");
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.text(), response.field("x-own")), (503, "ill", Some("1")));
    assert_eq!(origin.requests(), 3);
}

#[test]
fn a_post_is_not_sent_again_for_a_status() {
    let origin = Origin::answering("HTTP/1.1 503 Ill\r\nContent-Length: 3\r\n\r\nill");
    let gateway = gateway(RETRY, &quoted(&[&origin]), "");
    assert_eq!(gateway.client().ask(POST).text(), "ill");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn an_origin_that_does_not_answer_in_time_is_504() {
    let origin = Origin::start(|visit| {
        visit.until_peer_leaves();
    });
    let gateway = gateway("timeout = \"300ms\"", &quoted(&[&origin]), "");
    let mut client = gateway.client();
    let response = client.get("/");
    assert_eq!(response.status, 504);
    assert!(response.reason().starts_with("upstream."), "{}", response.reason());
    eventually("the attempt's connection is closed", || origin.open_connections() == 0);
    assert_eq!(client.get("/").status, 504, "the client's connection lives on");
}

#[test]
fn a_body_that_outlasts_the_timeout_is_cut() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
        visit.until_peer_leaves();
    });
    let gateway = gateway("timeout = \"300ms\"", &quoted(&[&origin]), "");
    let mut client = gateway.client();
    client.send(crate::support::get("/"));
    assert!(client.try_response("GET").is_err());
}

#[test]
fn a_connection_that_is_not_accepted_in_time_is_504() {
    // A queue of one, filled: the kernel drops further handshakes.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from((own_address(), 3000));
    full.bind(&address.into()).unwrap();
    full.listen(0).unwrap();
    let waiting = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        socket
    };
    let _queue: Vec<Socket> = (0..4).map(waiting).collect();
    let gateway = gateway("", &format!("\"{address}\""), "connect_timeout = \"300ms\"");
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.reason().as_str()), (504, "upstream.connect.timeout"));
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let dir = fresh_dir();
    let origin = Origin::start_unix(&dir.join("app.sock"), |visit| visit.send(ok("unix")));
    let gateway = gateway("", &quoted(&[&origin]), "");
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "unix");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_endpoint_may_be_a_name() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let _origin = Origin::start_at(address, |visit| visit.send(ok("named")));
    let gateway = gateway(RETRY, &format!("\"localhost:{}\"", address.port()), "");
    let mut client = gateway.client();
    eventually("the name is resolved", || client.get("/").status == 200);
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "named");
    }
}

#[test]
fn a_base_path_goes_before_the_requests() {
    let origin = Origin::start(|visit| {
        let answer = ok(visit.path());
        visit.send(answer);
    });
    let gateway = gateway("", &quoted(&[&origin]), "path = \"/base\"");
    assert_eq!(gateway.client().get("/x?q").text(), "/base/x?q");
}
