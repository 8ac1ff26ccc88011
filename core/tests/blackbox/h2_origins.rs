//! What origins that speak HTTP/2 are told and may say: heads and bodies of every kind, and what is malformed.

use crate::support::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, Peer, SETTINGS, asking, frame, getting,
};
use crate::support::hpack::block;
use crate::support::{Gateway, H2Origin, eventually};

/// The lines of a list under a name.
fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn what_belongs_to_the_clients_connection_stays_there() {
    let origin = H2Origin::saying("x");
    let gateway = Gateway::start(&origin.proxying());
    let answer = gateway.client().ask(
        "POST /p?q HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nConnection: X-Own, keep-alive\r\n\
         X-Own: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\n\
         Cookie: a=1; b=2\r\nX-Kept: Yes\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
    );
    assert_eq!(answer.text(), "x");
    let request = origin.request();
    let head = request.final_head();
    let pseudo: Vec<&str> = head.iter().map(|(n, _)| n.as_str()).take_while(|n| n.starts_with(':')).collect();
    assert_eq!(pseudo.len(), 4, "{head:?}");
    assert_eq!((request.field(":path"), request.field(":method")), (Some("/p?q"), Some("POST")));
    assert_eq!((request.field(":scheme"), request.field(":authority")), (Some("http"), Some("test")));
    for name in
        ["connection", "x-own", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host"]
    {
        assert_eq!(values(head, name), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(values(head, "te"), ["trailers"]);
    assert_eq!((request.field("x-kept"), request.field("cookie")), (Some("Yes"), Some("a=1; b=2")));
    assert_eq!(request.body, b"abc");
    assert_eq!(request.trailers().map(|t| values(t, "x-sum")), Some(vec!["6"]));
    assert!(head.iter().all(|(n, _)| !n.bytes().any(|b| b.is_ascii_uppercase())), "{head:?}");
}

#[test]
fn lengths_are_told_where_they_are_known() {
    let origin = H2Origin::saying("x");
    let gateway = Gateway::start(&origin.proxying());
    let mut client = gateway.client();
    client.ask("POST /1 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
    client.ask("POST /2 HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    client.ask("GET /3 HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut two = Peer::connect(gateway.at(8080));
    two.post("/4", b"abcd");
    let requests = origin.requests();
    let lengths: Vec<_> = requests.iter().map(|request| request.field("content-length")).collect();
    // The last one came whole, so its length was known.
    assert_eq!(lengths, [Some("3"), Some("0"), None, Some("4")]);
    assert_eq!((requests[0].body.as_slice(), requests[3].body.as_slice()), (&b"abc"[..], &b"abcd"[..]));
    assert!(requests[1].body.is_empty() && requests[2].body.is_empty());
}

#[test]
fn answers_of_every_kind_become_http1() {
    let origin = H2Origin::start(|peer, _| {
        while let Some((stream, request)) = peer.request() {
            match request.field(":path").unwrap() {
                "/length" => peer.say(stream, "0123456789"),
                "/unknown" => {
                    peer.head(stream, &[(":status", "200")], 0);
                    peer.data(stream, b"data", 0);
                    peer.head(stream, &[("x-sum", "1"), ("content-length", "4")], END_STREAM);
                }
                "/head" => peer.head(stream, &[(":status", "200"), ("content-length", "77")], END_STREAM),
                "/none" => peer.head(stream, &[(":status", "200")], END_STREAM),
                "/204" => peer.head(stream, &[(":status", "204")], END_STREAM),
                "/304" => peer.head(stream, &[(":status", "304"), ("content-length", "9")], END_STREAM),
                "/hints" => {
                    peer.head(stream, &[(":status", "103"), ("link", "</a>")], 0);
                    peer.say(stream, "hinted");
                }
                other => panic!("{other}"),
            }
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = gateway.client();
    let known = client.get("/length");
    assert_eq!((known.text(), known.field("content-length")), ("0123456789", Some("10")));
    let unknown = client.get("/unknown");
    assert_eq!((unknown.text(), unknown.field("transfer-encoding")), ("data", Some("chunked")));
    assert_eq!(unknown.trailers, [("x-sum".to_owned(), "1".to_owned())]);
    client.send("HEAD /head HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response_to("HEAD").field("content-length"), Some("77"));
    assert_eq!(client.get("/none").field("content-length"), Some("0"));
    assert_eq!(client.get("/204").field("content-length"), None);
    assert_eq!(client.get("/304").status, 304);
    client.send("GET /hints HTTP/1.1\r\nHost: t\r\n\r\n");
    let hint = client.response_to("GET");
    assert_eq!((hint.status, hint.field("link")), (103, Some("</a>")));
    assert_eq!(client.response().text(), "hinted");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn both_ends_in_http2_exchange_everything() {
    let origin = H2Origin::start(|peer, _| {
        while let Some((stream, request)) = peer.request_head() {
            if request.field("expect").is_some() {
                peer.head(stream, &[(":status", "100")], 0);
            }
            let request = peer.stream_when(stream, |stream| stream.ended);
            peer.head(stream, &[(":status", "200"), ("x-kind", "h2")], 0);
            peer.data(stream, &request.body, 0);
            let sum = request.trailers().map_or("none", |trailers| &trailers[0].1).to_owned();
            peer.head(stream, &[("x-sum", &sum)], END_STREAM);
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = Peer::connect(gateway.at(8080));
    let body: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let stream = client.open(&[&asking("POST", "/")[..], &[("expect", "100-continue")]].concat(), 0);
    client.stream_when(stream, |stream| stream.heads[0][0].1 == "100");
    client.data(stream, &body, 0);
    client.head(stream, &[("x-sum", "42")], END_STREAM);
    let answer = client.answer(stream);
    assert!(answer.body == body, "{} bytes", answer.body.len());
    assert_eq!(answer.trailers(), Some(&vec![("x-sum".to_owned(), "42".to_owned())]));
    assert_eq!(answer.field("x-kind"), Some("h2"));
}

#[test]
fn a_large_answer_waits_for_a_slow_client() {
    let origin = H2Origin::start(|peer, _| {
        let streams: Vec<u32> = (0..5).map_while(|_| Some(peer.request()?.0)).collect();
        for stream in &streams {
            peer.head(*stream, &[(":status", "200")], 0);
        }
        let mut left = vec![20_000_000; streams.len()];
        while left.iter().any(|&left| left > 0) {
            let before = left.clone();
            for (stream, left) in streams.iter().zip(&mut left) {
                let free = peer.window_left(*stream).min(*left);
                if free > 0 {
                    *left -= free;
                    peer.data(*stream, &vec![b'x'; free], if *left == 0 { END_STREAM } else { 0 });
                }
            }
            if left == before && peer.step().is_err() {
                return;
            }
        }
        while peer.step().is_ok() {}
    });
    let gateway = Gateway::start(&origin.proxying());
    let before = gateway.resident_kib();
    let mut clients: Vec<_> = (0..5).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    eventually("all are under way", || origin.requests().len() == 5);
    // The first one reads; the others do not, which does not keep it waiting.
    let mut first = clients.remove(0);
    assert_eq!(first.response().body.len(), 20_000_000);
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for five downloads of which one is read");
    for mut client in clients {
        assert_eq!(client.response().body.len(), 20_000_000);
    }
}

#[test]
fn malformed_answers_are_never_passed_on() {
    type Answer = (&'static str, &'static [(&'static str, &'static str)]);
    let answers: [Answer; 11] = [
        ("a line break", &[(":status", "200"), ("x-a", "b\r\nx-c: d")]),
        ("a null", &[(":status", "200"), ("x-a", "b\0c")]),
        ("a name in upper case", &[(":status", "200"), ("X-A", "b")]),
        ("a name with a space", &[(":status", "200"), ("x a", "b")]),
        ("connection", &[(":status", "200"), ("connection", "close")]),
        ("transfer-encoding", &[(":status", "200"), ("transfer-encoding", "chunked")]),
        ("two lengths", &[(":status", "200"), ("content-length", "1"), ("content-length", "2")]),
        ("no status", &[("x-a", "b")]),
        ("two statuses", &[(":status", "200"), (":status", "201")]),
        ("a status late", &[("x-a", "b"), (":status", "200")]),
        ("a switch", &[(":status", "101"), ("upgrade", "x")]),
    ];
    let origin = H2Origin::start(move |peer, _| {
        while let Some((stream, request)) = peer.request() {
            let number: usize = request.field(":path").unwrap().trim_start_matches('/').parse().unwrap();
            let head = answers[number].1;
            peer.send(frame(HEADERS, END_HEADERS, stream, block(head)));
            peer.send(frame(DATA, END_STREAM, stream, b"x"));
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    for (number, (name, _)) in answers.iter().enumerate() {
        let answer = gateway.client().get(&format!("/{number}"));
        assert_eq!(answer.status, 502, "{name}: {}", answer.head);
        let answer = Peer::connect(gateway.at(8080)).get(&format!("/{number}"));
        assert_eq!(answer.status(), 502, "{name}: {:?}", answer.heads);
    }
}

#[test]
fn lengths_that_lie_cut_the_answer() {
    let origin = H2Origin::start(|peer, _| {
        while let Some((stream, request)) = peer.request() {
            peer.head(stream, &[(":status", "200"), ("content-length", "5")], 0);
            let body: &[u8] = if request.field(":path") == Some("/more") { b"123456" } else { b"1234" };
            peer.send(frame(DATA, END_STREAM, stream, body));
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    for path in ["/more", "/less"] {
        let mut client = gateway.client();
        client.send(crate::support::get(path));
        let outcome = client.try_response("GET");
        assert!(outcome.as_ref().map_or(true, |answer| answer.status == 502), "{path}: {outcome:?}");
    }
}

#[test]
fn an_origin_that_floods_loses_its_connection_only() {
    let origin = H2Origin::start(|peer, number| {
        if number == 1 {
            let (stream, _) = peer.request().unwrap();
            peer.head(stream, &[(":status", "200")], 0);
            let floods = [frame(PING, 0, 0, [0; 8]), frame(SETTINGS, 0, 0, [])].concat();
            for _ in 0..5000 {
                if !peer.try_send(&floods) {
                    return;
                }
            }
            return;
        }
        while let Some((stream, _)) = peer.request() {
            peer.say(stream, "fine");
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = gateway.client();
    client.send(crate::support::get("/"));
    assert!(client.try_response("GET").is_err(), "it never ended");
    assert_eq!(gateway.client().get("/").text(), "fine");
}

#[test]
fn an_answer_whose_head_never_ends_is_cut() {
    let origin = H2Origin::start(|peer, _| {
        let (stream, _) = peer.request().unwrap();
        peer.send(frame(HEADERS, 0, stream, block(&[(":status", "200")])));
        let piece = block(&[("x-piece", "p".repeat(16_000))]);
        while peer.try_send(frame(CONTINUATION, 0, stream, &piece)) {}
    });
    let gateway = Gateway::start(&origin.proxying());
    let before = gateway.resident_kib();
    let answer = gateway.client().ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(answer.status, 502, "{}", answer.head);
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    eventually("the connection is closed", || origin.open_connections() == 0);
}

#[test]
fn an_origin_that_speaks_http1_is_a_502() {
    let origin = crate::support::Origin::answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let text = format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"o\"\n[upstreams.o]\nprotocol = \"http2\"\n\
         endpoints = [\"{}\"]\n",
        origin.address()
    );
    let gateway = Gateway::start(&text);
    let answer = Peer::connect(gateway.at(8080));
    let mut client = answer;
    let stream = client.ask(&getting("/"));
    assert_eq!(client.answer(stream).status(), 502);
}
