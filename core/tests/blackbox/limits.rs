//! Every limit by its name: at it, all is well; one over it is refused.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::support::{Client, Gateway, Origin, eventually, get, now, ok};

/// Everything to one origin, under these limits.
fn limited(origin: &Origin, limits: &str) -> Gateway {
    Gateway::start(&format!("{}\n[limits]\n{limits}\n", crate::support::proxying(origin)))
}

/// A GET whose head has exactly so many bytes.
fn head_of(bytes: usize) -> String {
    let frame = "GET / HTTP/1.1\r\nHost: t\r\nX: \r\n\r\n".len();
    format!("GET / HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(bytes - frame))
}

#[test]
fn head_bytes() {
    let origin = Origin::saying("x");
    let gateway = limited(&origin, "head = \"2KB\"");
    let limit = [2000, 2048].into_iter().find(|&n| gateway.client().ask(head_of(n + 1)).status == 431);
    let limit = limit.expect("431 one over the limit");
    assert_eq!(gateway.client().ask(head_of(limit)).status, 200);
    let mut client = gateway.client();
    let response = client.ask(head_of(limit + 1));
    assert_eq!((response.status, response.field("connection")), (431, Some("close")));
    assert!(response.reason().starts_with("request."), "{}", response.reason());
    client.expect_closed();
}

#[test]
fn head_bytes_without_an_end() {
    let gateway = limited(&Origin::saying("x"), "head = \"2KB\"");
    let mut client = gateway.client();
    client.send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(4096)));
    assert_eq!(client.response().status, 431);
}

#[test]
fn field_count() {
    let origin = Origin::saying("x");
    let gateway = limited(&origin, "fields = 10");
    let with = |count: usize| format!("GET / HTTP/1.1\r\nHost: t\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(gateway.client().ask(with(10)).status, 200);
    let over = gateway.client().ask(with(11));
    assert_eq!(over.status, 431);
    assert!(over.reason().starts_with("request."), "{}", over.reason());
}

#[test]
fn default_field_count() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let with = |count: usize| format!("GET / HTTP/1.1\r\nHost: t\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(gateway.client().ask(with(128)).status, 200);
    assert_eq!(gateway.client().ask(with(129)).status, 431);
}

#[test]
fn uri_bytes() {
    let origin = Origin::saying("x");
    let gateway = limited(&origin, "uri = \"100B\"");
    let with = |count: usize| get(&format!("/{}", "a".repeat(count - 1)));
    assert_eq!(gateway.client().ask(with(100)).status, 200);
    let over = gateway.client().ask(with(101));
    assert_eq!(over.status, 414);
    assert!(over.reason().starts_with("request."), "{}", over.reason());
}

#[test]
fn declared_body_bytes() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(ok(&body.len().to_string()));
    });
    let gateway = limited(&origin, "body = \"100B\"");
    let with =
        |n: usize| format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    assert_eq!(gateway.client().ask(with(100)).text(), "100");
    let over = gateway.client().ask(with(101));
    assert_eq!(over.status, 413);
    assert_eq!(origin.requests(), 1, "the second was refused before it was sent on");
}

#[test]
fn chunked_body_bytes() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(ok(&body.len().to_string()));
    });
    let gateway = limited(&origin, "body = \"100B\"");
    let with = |last: &str| {
        let chunk = format!("a\r\n{}\r\n", "x".repeat(10)).repeat(10);
        format!("PUT / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{last}0\r\n\r\n")
    };
    assert_eq!(gateway.client().ask(with("")).text(), "100");
    let mut client = gateway.client();
    assert_eq!(client.ask(with("1\r\nx\r\n")).status, 413);
    client.expect_closed();
    eventually("the origin was not given a whole body", || origin.open_connections() <= 1);
    assert!(origin.bodies().iter().all(|body| body.len() <= 100));
}

#[test]
fn a_routes_max_body_narrows_the_limit() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"u\"\nmax_body = \"10B\"\n\
         [upstreams.u]\nendpoints = [\"{}\"]\n",
        origin.address()
    ));
    let with =
        |n: usize| format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    assert_eq!(gateway.client().ask(with(10)).status, 200);
    assert_eq!(gateway.client().ask(with(11)).status, 413);
}

#[test]
fn connections_of_the_process() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&format!(
        "{}\n[server]\nworkers = 1\nmax_connections = 8\n",
        crate::support::proxying(&origin)
    ));
    let mut kept: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
    let mut over = gateway.client();
    over.send(get("/"));
    let shed = over.try_response("GET");
    assert!(shed.is_err() || shed.is_ok_and(|response| response.status == 503), "over the cap");
    kept.pop();
    eventually("there is room again", || {
        let mut client = gateway.client();
        client.send(get("/"));
        client.try_response("GET").is_ok_and(|response| response.status == 200)
    });
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn connections_of_one_address() {
    let origin = Origin::saying("x");
    let gateway = limited(&origin, "connections_per_ip = 3");
    let here = IpAddr::from(Ipv4Addr::new(127, 9, 9, 1));
    let mut kept: Vec<Client> = (0..3).map(|_| Client::connect_from(here, gateway.at(8080))).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
    let mut over = Client::connect_from(here, gateway.at(8080));
    over.send(get("/"));
    let refused = over.try_response("GET");
    assert!(
        refused.is_err() || refused.is_ok_and(|response| [429, 503].contains(&response.status)),
        "over the cap"
    );
    assert_eq!(gateway.client().get("/").status, 200, "another address is not concerned");
    kept.pop();
    eventually("there is room again", || {
        let mut client = Client::connect_from(here, gateway.at(8080));
        client.send(get("/"));
        client.try_response("GET").is_ok_and(|response| response.status == 200)
    });
}

#[test]
fn connection_age() {
    let origin = Origin::saying("x");
    let gateway = limited(&origin, "connection_age = \"1s\"");
    let mut client = gateway.client();
    let began = now();
    let mut closes = false;
    // One that always has another request is told with an answer, one that rests is closed.
    while began.elapsed() < Duration::from_secs(10) && !closes {
        closes = client.get("/").field("connection") == Some("close");
    }
    assert!(closes && began.elapsed() >= Duration::from_secs(1));
    client.expect_closed();
    let mut client = gateway.client();
    let began = now();
    assert_eq!(client.get("/").field("connection"), None);
    client.expect_closed();
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn requests_per_connection() {
    let origin = Origin::saying("x");
    let gateway = limited(&origin, "requests_per_connection = 3");
    let mut client = gateway.client();
    assert_eq!(client.get("/").field("connection"), None);
    assert_eq!(client.get("/").field("connection"), None);
    assert_eq!(client.get("/").field("connection"), Some("close"));
    client.expect_closed();
}

#[test]
fn header_time() {
    let gateway = limited(&Origin::saying("x"), "header_timeout = \"300ms\"");
    let mut slow = gateway.client();
    slow.send("GET / HTTP/1.1\r\nHo");
    let response = slow.response();
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    assert_eq!(response.reason(), "limit.header_timeout");
    slow.expect_closed();
    let mut dripping = gateway.client();
    dripping.send("GET / HTTP/1.1\r\n");
    let began = now();
    while dripping.silent_for(Duration::from_millis(20)) {
        dripping.send("X: y\r\n");
        assert!(began.elapsed() < crate::support::PATIENCE, "each byte moved the limit");
    }
    let (silent, _) = gateway.client().rest();
    assert!(silent.is_empty(), "nothing was asked");
}

#[test]
fn idle_time() {
    let origin = Origin::saying("x");
    let gateway = limited(&origin, "idle_timeout = \"300ms\"");
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/").status, 200);
    client.expect_closed();
}

#[test]
fn a_slow_client_gets_all_of_an_answer_that_takes_longer_than_idle_and_body_time() {
    let body = "x".repeat(600_000);
    let route = format!("match = {{ prefix = \"/\" }}\nrespond = {{ status = 200, body = \"{body}\" }}");
    let limits = "[limits]\nbody_timeout = \"300ms\"\nidle_timeout = \"300ms\"";
    let gateway = Gateway::start(&format!("[routes.large]\n{route}\n{limits}\n"));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&gateway.at(8080).into()).unwrap();
    let mut client = std::net::TcpStream::from(socket);
    client.write_all(get("/").as_bytes()).unwrap();
    let (mut received, mut piece) = (0, [0; 4096]);
    while received < body.len() {
        let count = client.read(&mut piece).unwrap();
        assert!(count > 0, "cut after {received} bytes");
        received += count;
        std::thread::park_timeout(Duration::from_millis(8));
    }
}

#[test]
fn body_time_of_an_upload() {
    let origin = Origin::start(|visit| {
        visit.body();
        visit.send(ok("x"));
    });
    let gateway = limited(&origin, "body_timeout = \"300ms\"");
    let mut client = gateway.client();
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nsome");
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    client.expect_closed();
    eventually("the attempt was given up", || origin.open_connections() == 0);
    let mut steady = gateway.client();
    steady.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        assert!(steady.silent_for(Duration::from_millis(60)), "progress moves the limit");
        steady.send("x");
    }
    assert_eq!(steady.response().status, 200);
}

#[test]
fn body_time_of_a_download_that_stops() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
        for _ in 0..visit.number() {
            visit.send("x");
            std::thread::park_timeout(Duration::from_millis(60));
        }
    });
    let gateway = limited(&origin, "body_timeout = \"500ms\"");
    let mut client = gateway.client();
    assert_eq!(client.get("/20").body.len(), 20, "progress moves the limit");
    client.send(get("/19"));
    assert!(client.try_response("GET").is_err());
    eventually("the attempt was given up", || origin.open_connections() == 0);
    gateway.line_with(&["/19", "upstream.timeout.body"]);
}

#[test]
fn body_time_of_a_download_that_nobody_reads() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while visit.try_send(vec![0; 65536]).is_ok() {}
        visit.close();
    });
    let gateway = limited(&origin, "body_timeout = \"300ms\"");
    let mut client = gateway.client();
    client.send(get("/"));
    client.head();
    eventually("the attempt was given up", || origin.open_connections() == 0);
    assert!(client.rest().0.len() < 100_000_000);
}

#[test]
fn a_listener_may_narrow_the_limits() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&format!(
        "[listeners.wide]\nbind = \"GATEWAY:8080\"\n\
         [listeners.narrow]\nbind = \"GATEWAY:8081\"\nuri = \"64B\"\n{}",
        crate::support::proxying(&origin)
    ));
    let long = format!("/{}", "x".repeat(64));
    assert_eq!(gateway.client().get(&long).status, 200);
    assert_eq!(Client::connect(gateway.at(8081)).get(&long).status, 414);
}
