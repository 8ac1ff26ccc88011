//! Too much of something: descriptors, connections, slow clients, requests that nobody reads the answers of, a dead
//! upstream under load. What is within the limits goes on being served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Client, Gateway, Origin, eventually, get, now, ok, proxying, thread};

#[test]
fn running_out_of_descriptors_neither_spins_nor_lasts() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    assert_eq!(gateway.client().get("/").text(), "x");
    gateway.limit_descriptors(gateway.descriptors() + 10);
    let crowd: Vec<Client> = (0..60).map(|_| gateway.client()).collect();
    gateway.line_with(&["accept.error"]);
    let (began, before) = (now(), gateway.cpu_time());
    while now() - began < Duration::from_secs(1) {
        crate::support::breathe();
    }
    let spent = gateway.cpu_time().saturating_sub(before);
    assert!(spent < Duration::from_millis(300), "{spent:?} of CPU time in a second of waiting");
    drop(crowd);
    gateway.limit_descriptors(1000);
    eventually("clients are served again", || {
        let mut client = gateway.client();
        client.send(get("/"));
        client.try_response("GET").is_ok_and(|response| response.status == 200)
    });
}

#[test]
fn a_burst_over_the_cap_is_shed_and_leaves_nothing_behind() {
    let origin = Origin::saying("x");
    let gateway =
        Gateway::start(&format!("{}\n[server]\nworkers = 2\nmax_connections = 20\n", proxying(&origin)));
    let mut kept: Vec<Client> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").text(), "x");
    }
    let before = gateway.descriptors();
    for _ in 0..5 {
        drop((0..200).map(|_| gateway.client()).collect::<Vec<_>>());
    }
    for client in &mut kept {
        assert_eq!(client.get("/").text(), "x", "those inside do not notice");
    }
    eventually("every descriptor is given back", || gateway.descriptors() <= before);
}

#[test]
fn slow_heads_do_not_keep_others_waiting() {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    let mut slow: Vec<Client> = (0..300).map(|_| gateway.client()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHost: t\r\nX-");
    }
    let mut client = gateway.client();
    let began = now();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "x");
    }
    assert!(now() - began < Duration::from_secs(2));
    for client in &mut slow {
        assert_eq!(client.ask("Late: 1\r\n\r\n").text(), "x");
    }
}

#[test]
fn unread_answers_hold_back_the_requests_behind_them() {
    let body = "x".repeat(64 * 1024);
    let origin = Origin::saying(&body);
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..1000 {
        client.send(get("/"));
    }
    let held_at = crate::support::settled(|| origin.requests());
    assert!(held_at < 500, "{held_at} of 1000 answers of 64 KiB were fetched for a client that reads none");
    assert!(gateway.resident_kib() < 100 * 1024, "{} KiB", gateway.resident_kib());
    for _ in 0..1000 {
        assert_eq!(client.response().body.len(), body.len());
    }
}

#[test]
fn an_upstream_that_dies_and_returns_under_load_is_the_only_thing_that_fails() {
    let origin = Origin::saying("x");
    let address = origin.socket_address();
    let gateway = Gateway::before(&origin);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (stop, served, at) = (Arc::clone(&stop), Arc::clone(&served), gateway.at(8080));
        thread(move || {
            let mut client = Client::connect(at);
            while !stop.load(Ordering::SeqCst) {
                let response = client.get("/");
                assert!([200, 502].contains(&response.status), "{}", response.head);
                served.fetch_add(usize::from(response.status == 200), Ordering::SeqCst);
            }
        })
    };
    let more = |what: &str| {
        let before = served.load(Ordering::SeqCst);
        eventually(what, || served.load(Ordering::SeqCst) > before + 100);
    };
    more("the load runs");
    origin.die();
    let _again = Origin::start_at(address, |visit| visit.send(ok("x")));
    more("the load runs again");
    stop.store(true, Ordering::SeqCst);
    load.join().unwrap();
}

#[test]
fn an_upload_below_the_least_rate_is_ended() {
    let origin = Origin::start(|visit| {
        visit.count_body();
    });
    let gateway = Gateway::start(&format!("{}\n[limits]\nmin_rate = \"10KB/s\"\n", proxying(&origin)));
    let mut client = gateway.client();
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n");
    let began = now();
    while client.silent_for(Duration::from_millis(100)) {
        client.send("slowly");
        assert!(began.elapsed() < Duration::from_secs(30), "nobody minds");
    }
    assert!(began.elapsed() > Duration::from_secs(9), "the first ten seconds are free");
    assert_eq!(client.response().reason(), "limit.min_rate");
}

#[test]
fn a_silent_tunnel_is_ended() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        while let Some(bytes) = visit.receive(4) {
            visit.send(bytes);
        }
        visit.close();
    });
    let gateway = Gateway::start(&format!("{}\n[limits]\ntunnel_timeout = \"500ms\"\n", proxying(&origin)));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response_to("GET").status, 101);
    for _ in 0..10 {
        assert!(client.silent_for(Duration::from_millis(100)), "bytes move the limit");
        client.send("ping");
        assert_eq!(client.exactly(4), b"ping");
    }
    client.rest();
    eventually("the origin's end is closed", || origin.open_connections() == 0);
}

#[test]
fn a_head_of_nearly_all_allowed_bytes_passes_both_ways() {
    let fields: String = "X: ".to_owned() + &"y".repeat(8000) + "\r\n";
    let answer =
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 1\r\n\r\nx", fields.replace("X:", "A:").repeat(6));
    let origin = Origin::answering(answer);
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        let response = client.ask(format!("GET / HTTP/1.1\r\nHost: t\r\n{}\r\n", fields.repeat(7)));
        assert_eq!((response.status, response.text()), (200, "x"));
        assert_eq!(response.fields.iter().filter(|(name, _)| name == "a").count(), 6);
    }
    assert!(origin.heads().iter().all(|head| head.len() > 56_000));
}

#[test]
fn a_listener_may_have_several_addresses_of_both_families() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&format!(
        "[listeners.both]\nbind = [\"GATEWAY:8080\", \"GATEWAY:8081\", \"[::1]:0\"]\n{}",
        proxying(&origin)
    ));
    let line: serde_json::Value = serde_json::from_str(&gateway.line_with(&["gateway.started"])).unwrap();
    let places = line["listeners"].as_str().unwrap().to_owned();
    let v6 = places.split(',').find_map(|place| place.strip_prefix("both=[::1]:")).unwrap().to_owned();
    assert_eq!(gateway.client().get("/").text(), "x");
    assert_eq!(Client::connect(gateway.at(8081)).get("/").text(), "x");
    let mut client = Client::connect(format!("[::1]:{v6}").parse().unwrap());
    assert_eq!(client.get("/").text(), "x");
    assert!(origin.heads().last().unwrap().contains("::1"), "{:?}", origin.heads().last());
}

#[test]
fn waiting_costs_no_cpu_time() {
    let origin = Origin::start(|visit| match visit.path() {
        "/tunnel" => {
            visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
            visit.until_peer_leaves();
        }
        "/flood" => {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while visit.try_send(vec![0; 65536]).is_ok() {}
            visit.close();
        }
        "/quick" => visit.send(ok("x")),
        _ => visit.until_peer_leaves(),
    });
    let gateway = Gateway::start(&format!("{}\n[server]\nworkers = 2\n", proxying(&origin)));
    let with = |bytes: &str| {
        let mut client = gateway.client();
        client.send(bytes);
        client
    };
    let mut clients = vec![
        with(""),
        with("GET / HTTP/1.1\r\nHo"),
        with(&get("/quick")),
        with(&get("/slow")),
        with(&[get("/slow"), get("/ahead")].concat()),
        with("PUT /slow HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf"),
        with(&get("/flood")),
        with(&get("/tunnel").replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")),
    ];
    clients.push(with(&get("/slow")));
    clients.last().unwrap().finish();
    eventually("all have come", || origin.requests() >= 7);
    crate::support::settled(|| usize::try_from(gateway.cpu_time().as_millis()).unwrap());
    let (began, before) = (now(), gateway.cpu_time());
    while now() - began < Duration::from_secs(2) {
        crate::support::breathe();
    }
    let spent = gateway.cpu_time().saturating_sub(before);
    assert!(spent <= Duration::from_millis(100), "{spent:?} of CPU time in two seconds of waiting");
}
