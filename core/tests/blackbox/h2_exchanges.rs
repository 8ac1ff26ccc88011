//! HTTP/2 from a client in clear: every kind of message, the gateway's own answers, and what is noted of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::h2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW, PREFACE, Peer, asking, frame, getting, settings,
};
use crate::support::hpack::block;
use crate::support::{Client, Gateway, Origin, eventually, fresh_dir, get, ok, proxying};

#[test]
fn a_get_goes_out_as_http1_and_comes_back() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: h1\r\n\r\nhello");
    let gateway = Gateway::before(&origin);
    let answer = Peer::connect(gateway.at(8080)).get("/a?b=c");
    assert_eq!((answer.status(), answer.text()), (200, "hello"));
    assert_eq!((answer.field("content-length"), answer.field("x-kind")), (Some("5"), Some("h1")));
    assert!(answer.final_head().iter().all(|(name, _)| name != "connection" && name != "transfer-encoding"));
    let head = origin.head();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(!head.to_lowercase().contains("content-length") && !head.contains("chunked"), "{head}");
}

#[test]
fn each_framing_of_a_request_becomes_its_like() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(ok(&format!("{} {}", visit.path(), body.len())));
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.open(&asking("POST", "/unknown"), 0);
    client.data(stream, b"123", 0);
    eventually("the head at the origin", || origin.heads().len() == 1);
    client.data(stream, b"45", END_STREAM);
    assert_eq!(client.answer(stream).text(), "/unknown 5");
    assert_eq!(client.post("/whole", b"12345").text(), "/whole 5");
    let fields = [&asking("POST", "/known")[..], &[("content-length", "5")]].concat();
    let stream = client.open(&fields, 0);
    client.data(stream, b"12345", END_STREAM);
    assert_eq!(client.answer(stream).text(), "/known 5");
    let stream = client.ask(&asking("POST", "/none"));
    assert_eq!(client.answer(stream).text(), "/none 0");
    let [unknown, whole, known, none] = &origin.heads()[..] else { panic!() };
    assert!(whole.to_lowercase().contains("content-length: 5") && !whole.contains("chunked"), "{whole}");
    assert!(unknown.contains("Transfer-Encoding: chunked") && !unknown.contains("ontent-"), "{unknown}");
    assert!(known.to_lowercase().contains("content-length: 5") && !known.contains("chunked"), "{known}");
    assert!(none.to_lowercase().contains("content-length: 0") && !none.contains("chunked"), "{none}");
    assert_eq!(origin.connections(), 1, "one after another on one connection");
}

#[test]
fn answers_without_bodies_end_with_their_heads() {
    let origin = Origin::start(|visit| match visit.path() {
        "/head" => visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        "/204" => visit.send("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => visit.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\n"),
        _ => visit.send(ok("")),
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.ask(&asking("HEAD", "/head"));
    let head = client.answer(stream);
    assert_eq!((head.status(), head.field("content-length")), (200, Some("1234")));
    let none = client.get("/204");
    assert_eq!((none.status(), none.field("content-length")), (204, None));
    let same = client.get("/304");
    assert_eq!((same.status(), same.field("etag")), (304, Some("\"a\"")));
    let empty = client.get("/empty");
    assert_eq!((empty.status(), empty.field("content-length")), (200, Some("0")));
    for answer in [head, none, same, empty] {
        assert!(answer.body.is_empty() && answer.heads.len() == 1, "{answer:?}");
    }
}

#[test]
fn trailers_of_a_chunked_answer_follow_the_data() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\n\
         X-Sum: 6\r\nContent-Length: 9\r\n\r\n",
    );
    let gateway = Gateway::before(&origin);
    let answer = Peer::connect(gateway.at(8080)).get("/");
    assert_eq!(answer.text(), "abc");
    assert_eq!(answer.trailers(), Some(&vec![("x-sum".to_owned(), "6".to_owned())]));
}

#[test]
fn trailers_of_a_client_follow_the_last_chunk() {
    let origin = Origin::start(|visit| {
        let raw = visit.receive(b"3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n".len()).unwrap();
        visit.send(ok(&String::from_utf8_lossy(&raw)));
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.open(&asking("POST", "/"), 0);
    client.data(stream, b"abc", 0);
    // What would say something of the message's framing is left out.
    client.head(stream, &[("x-sum", "6"), ("content-length", "3")], END_STREAM);
    assert_eq!(client.answer(stream).text().to_lowercase(), "3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n");
}

#[test]
fn interim_answers_come_first() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        if visit.field("expect").is_some() {
            visit.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let body = visit.body();
        visit.send(ok(&String::from_utf8_lossy(&body)));
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.open(&[&asking("PUT", "/")[..], &[("expect", "100-continue")]].concat(), 0);
    let interim = client.stream_when(stream, |stream| stream.heads.len() == 2);
    assert_eq!(interim.heads[0], [(":status", "103"), ("link", "</a>")].map(|(n, v)| (n.into(), v.into())));
    assert_eq!(interim.heads[1], [(":status".to_owned(), "100".to_owned())]);
    client.data(stream, b"now", END_STREAM);
    let answer = client.answer(stream);
    assert_eq!((answer.status(), answer.text(), answer.heads.len()), (200, "now", 3));
}

#[test]
fn streams_end_in_the_order_of_their_answers() {
    let origin = Origin::start(|visit| {
        let size = visit.number();
        // The first ones asked for are the last to be answered.
        std::thread::park_timeout(Duration::from_millis(size as u64 / 100));
        visit.send(ok(&"x".repeat(size)));
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let sizes: Vec<usize> = (0..100).map(|n| (100 - n) * 400).collect();
    let streams: Vec<u32> = sizes.iter().map(|size| client.ask(&getting(&format!("/{size}")))).collect();
    for (stream, size) in streams.iter().zip(&sizes) {
        assert_eq!(client.answer(*stream).body.len(), *size);
    }
    assert_eq!(client.ended.len(), 100);
    let first = client.ended.iter().position(|stream| *stream == streams[0]).unwrap();
    assert!(first > 50, "the slowest was among the last: {first}");
}

#[test]
fn a_reset_cancels_the_exchange_upstream() {
    let left = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&left);
    let origin = Origin::start(move |visit| match visit.path() {
        "/slow" => {
            visit.until_peer_leaves();
            flag.store(true, Ordering::SeqCst);
        }
        _ => visit.send(ok("x")),
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.ask(&getting("/slow"));
    eventually("the request is under way", || origin.requests() == 1);
    client.reset(stream, 8);
    eventually("the origin sees its connection closed", || left.load(Ordering::SeqCst));
    assert_eq!(client.get("/").text(), "x", "the connection lives on");
    assert_eq!(client.stream(stream).heads.len(), 0);
}

#[test]
fn a_reset_within_bodies_cancels_them() {
    let origin = Origin::start(|visit| match visit.path() {
        "/down" => {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while visit.try_send(vec![b'x'; 65_536]).is_ok() {}
            visit.close();
        }
        _ => visit.until_peer_leaves(),
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let down = client.ask(&getting("/down"));
    client.stream_when(down, |stream| stream.body.len() > 100_000);
    let up = client.open(&asking("POST", "/up"), 0);
    client.data(up, &vec![b'x'; 50_000], 0);
    eventually("both are under way", || origin.requests() == 2);
    client.reset(down, 8);
    client.reset(up, 8);
    eventually("both connections are closed", || origin.open_connections() == 0);
}

#[test]
fn a_client_that_is_gone_cancels_all_of_its_streams() {
    let origin = Origin::silent();
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    for _ in 0..20 {
        client.ask(&getting("/"));
    }
    eventually("all are under way", || origin.requests() == 20);
    drop(client);
    eventually("all are cancelled", || origin.open_connections() == 0);
    eventually("its socket is closed", || gateway.open_sockets_to(8080) == 0);
}

const OWN: &str = "[limits]\nbody = \"10B\"\n[routes.files]\nmatch = { prefix = \"/files\" }\n\
    static = { root = \"DIR\" }\n[routes.own]\nmatch = { path = \"/own\", methods = [\"GET\"] }\n\
    respond = { status = 203, body = \"ours\" }\n\
    [routes.up]\nmatch = { path = \"/up\" }\nupstream = \"origin\"\n\
    [upstreams.origin]\nendpoints = [\"ORIGIN\"]\n";

#[test]
fn own_answers_come_as_streams() {
    let dir = fresh_dir();
    std::fs::create_dir(dir.join("files")).unwrap();
    std::fs::write(dir.join("files/a.txt"), "f".repeat(300_000)).unwrap();
    std::fs::write(dir.join("a.txt"), "f".repeat(300_000)).unwrap();
    let origin = Origin::silent();
    let gateway = Gateway::start_in(&dir, &OWN.replace("ORIGIN", origin.address()));
    let mut client = Peer::connect(gateway.at(8080));
    let own = client.get("/own");
    assert_eq!((own.status(), own.text()), (203, "ours"));
    let file = client.get("/files/a.txt");
    assert_eq!(
        (file.status(), file.body.len(), file.field("content-length")),
        (200, 300_000, Some("300000"))
    );
    let none = client.get("/none");
    assert_eq!((none.status(), none.reason().as_str()), (404, "route.not_found"));
    let wrong = client.post("/own", b"1");
    assert_eq!((wrong.status(), wrong.field("allow")), (405, Some("GET, HEAD")));
    let stated = [&asking("POST", "/up")[..], &[("content-length", "11")]].concat();
    let stream = client.open(&stated, 0);
    assert_eq!(client.answer(stream).status(), 413, "one over, as stated");
    let unstated = client.post("/up", b"12345678901");
    assert_eq!(unstated.status(), 413, "one over, as counted");
    let stream = client.ask(&asking("HEAD", "/own"));
    assert_eq!(client.answer(stream).field("content-length"), Some("4"));
    assert!(client.goaways.is_empty());
}

#[test]
fn the_log_and_the_metrics_say_http2() {
    let origin = Origin::saying("x");
    let text = "\n[metrics]\nbind = \"GATEWAY:9100\"\n[listeners.http]\nbind = \"GATEWAY:8080\"\n";
    let gateway = Gateway::start(&(proxying(&origin) + text));
    let mut client = Peer::connect(gateway.at(8080));
    assert_eq!(client.get("/seen").text(), "x");
    gateway.line_with(&["\"/seen\"", "\"HTTP/2.0\"", "\"GET\""]);
    let refused = client.ask(&[&getting("/refused")[..], &[("connection", "close")]].concat());
    client.outcome(refused);
    let body = Client::connect(gateway.at(9100)).get("/metrics").text().to_owned();
    assert!(body.contains("ringway_http2_connections_total 1\n"), "{body}");
    assert!(body.contains("http_active_connections 1\n"), "{body}");
}

#[test]
fn a_refused_head_is_answered_and_logged_as_http2() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let stream =
        client.ask(&[&getting("/")[..], &[("content-length", "1"), ("content-length", "2")]].concat());
    let outcome = client.outcome(stream);
    assert!(outcome.reset.is_some() || outcome.status() == 400, "{outcome:?}");
    let stream =
        client.ask(&[(":method", "GET"), (":scheme", "http"), (":authority", "a b"), (":path", "/")]);
    let outcome = client.outcome(stream);
    assert!(outcome.reset.is_some() || outcome.status() == 400, "{outcome:?}");
    let stream = client.ask(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    assert_eq!(client.answer(stream).status(), 400);
    gateway.line_with(&["host.missing", "\"HTTP/2.0\""]);
    assert_eq!(client.get("/").text(), "x", "the connection lives on");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_listener_without_http2_refuses_the_preface() {
    let origin = Origin::saying("x");
    let gateway =
        Gateway::start(&(proxying(&origin) + "\n[listeners.http]\nbind = \"GATEWAY:8080\"\nhttp2 = false\n"));
    let mut client = gateway.client();
    client.send([PREFACE, &settings(&[])].concat());
    let (bytes, _) = client.rest();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 505 ") || text.starts_with("HTTP/1.1 400 "), "{text}");
    assert_eq!(gateway.client().get("/").text(), "x");
}

#[test]
fn a_preface_may_come_in_any_two_pieces() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, block(&getting("/")));
    let all = [PREFACE, &settings(&[]), &request].concat();
    for at in 1..all.len() {
        let mut client = Peer::silent(gateway.at(8080));
        client.send(&all[..at]);
        std::thread::park_timeout(Duration::from_millis(1));
        client.send(&all[at..]);
        assert_eq!(client.answer(1).text(), "x", "split at {at}");
    }
}

#[test]
fn a_preface_that_goes_wrong_ends_the_connection() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    for at in 0..PREFACE.len() {
        let mut bytes = PREFACE.to_vec();
        bytes[at] = if bytes[at] == b'!' { b'?' } else { b'!' };
        let mut client = gateway.client();
        // In one piece: the connection may be closed at the first byte that is wrong.
        bytes.extend(settings(&[]));
        client.send(&bytes);
        // As far as it looks like HTTP/1.1 it is answered so; then the end comes in any case.
        client.finish();
        let (answer, _) = client.rest();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || !text.starts_with("HTTP/1.1 2"), "{at}: {text}");
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn http1_and_http2_share_a_listener() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let mut one = gateway.client();
    let mut two = Peer::connect(gateway.at(8080));
    for _ in 0..3 {
        assert_eq!(one.ask(get("/")).text(), "x");
        assert_eq!(two.get("/").text(), "x");
    }
    // An upgrade is not answered: RFC 9113 has none.
    let upgraded = one.ask(
        "GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!((upgraded.status, upgraded.text()), (200, "x"));
}

#[test]
fn what_is_sent_at_once_is_answered_at_once() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let mut client = Peer::silent(gateway.at(8080));
    let post = frame(HEADERS, END_HEADERS, 3, block(&asking("POST", "/")));
    client.send(
        [
            PREFACE,
            &settings(&[(INITIAL_WINDOW, 100)]),
            &frame(HEADERS, END_STREAM | END_HEADERS, 1, block(&getting("/"))),
            &post,
            &frame(DATA, END_STREAM, 3, b"body"),
        ]
        .concat(),
    );
    assert_eq!(client.answer(1).text(), "x");
    assert_eq!(client.answer(3).text(), "x");
    assert!(origin.bodies().contains(&b"body".to_vec()));
}
