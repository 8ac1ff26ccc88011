//! The open loop against targets that behave, stall, lie and go away.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::*;
use crate::origin::Terms;

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn plan(rate: u64, window: Duration) -> Plan {
    let warm_up = Duration::from_millis(20);
    Plan { connections: 4, pace: Pace::Rate(rate), length: Some(5), warm_up, window }
}

fn origin() -> Origin {
    Origin::bind(SocketAddr::from(LOCAL), Terms { answer: 5, request: None, grpc: false }).unwrap()
}

#[test]
fn every_request_of_the_schedule_is_sent_and_measured() {
    let (mut origin, window) = (origin(), Duration::from_millis(200));
    let url = Url::root(origin.address);
    let family = Family::alone(std::process::id());
    let outcome = run(&url, &plan(2_000, window), Some(&mut origin), Some(&family)).unwrap();
    assert_eq!((outcome.times.count(), outcome.errors.total()), (400, 0));
    assert_eq!(outcome.late.count() + outcome.held, 400, "each was either sent in time, late, or held");
    assert!(outcome.window + Duration::from_millis(1) >= window, "{:?}", outcome.window);
    assert!(outcome.cpu_per_request().is_some() && outcome.busy_percent().is_some());
    assert!(outcome.times.percentiles().unwrap().max >= outcome.late.percentiles().unwrap().p50);
}

/// Answers everything, but does nothing for a while in the middle of it.
fn stalling(at: Duration, stall: Duration) -> SocketAddr {
    let (say, hear) = std::sync::mpsc::channel();
    let serve = move || {
        let mut origin = origin();
        say.send(origin.address).unwrap();
        let start = clock::now();
        let mut has_stalled = false;
        loop {
            origin.turn(Duration::from_millis(1)).unwrap();
            if !has_stalled && start.elapsed() > at {
                clock::wait(stall);
                has_stalled = true;
            }
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    hear.recv().unwrap()
}

#[test]
fn a_stall_counts_against_all_requests_that_were_due_meanwhile() {
    let stall = Duration::from_millis(300);
    let url = Url::root(stalling(Duration::from_millis(300), stall));
    let outcome = run(&url, &plan(1_000, Duration::from_secs(1)), None, None).unwrap();
    assert_eq!((outcome.times.count(), outcome.errors.total()), (1_000, 0));
    let found = outcome.times.percentiles().unwrap();
    // Three in ten were due during the stall: evenly, so one in ten waited for more than 200 ms. A loop that waits
    // for answers would have sent four of them, and would show nothing in its 99th percentile.
    assert!(found.p99 >= 270_000.0 && found.p90 >= 190_000.0, "{found:?}");
    assert!(found.p50 < found.p90, "{found:?}");
    // There are four connections; what waits for them is not the generator's fault.
    assert!(outcome.held >= 280, "{}", outcome.held);
    assert!(outcome.late.percentiles().unwrap().p50 < 150_000.0);
}

#[test]
fn wrong_answers_are_errors_and_no_times() {
    let mut origin = origin();
    let url = Url::root(origin.address);
    let plan = Plan { length: Some(6), ..plan(500, Duration::from_millis(100)) };
    let outcome = run(&url, &plan, Some(&mut origin), None).unwrap();
    assert_eq!((outcome.times.count(), outcome.errors.total()), (0, 60), "also those of the warm-up");
    assert_eq!(outcome.errors.iter().next().unwrap().0, "5 bytes instead of 6");
}

#[test]
fn a_target_that_closes_idle_connections_is_connected_to_again() {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let url = Url::root(listener.local_addr().unwrap());
    let serve = move || {
        // One answer for each connection, and then the end, which was not announced.
        for stream in listener.incoming() {
            let serve = move || {
                let mut stream = stream.unwrap();
                let body = Body::new();
                if stream.read(&mut [0; 1024]).unwrap_or(0) > 0 {
                    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
                    stream.write_all(&[head, body.piece(0, 5)].concat()).unwrap();
                }
            };
            std::thread::Builder::new().spawn(serve).unwrap();
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    let plan = Plan { connections: 40, ..plan(100, Duration::from_millis(200)) };
    let outcome = run(&url, &plan, None, None).unwrap();
    assert_eq!((outcome.times.count(), outcome.errors.total()), (20, 0), "{:?}", outcome.errors);
}

#[test]
fn an_answer_that_nobody_has_asked_for_is_an_error() {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let url = Url::root(listener.local_addr().unwrap());
    let serve = move || {
        let body = Body::new();
        let answer = [&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"[..], body.piece(0, 5)].concat();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while stream.read(&mut [0; 1024]).unwrap_or(0) > 0 {
                let _ = stream.write_all(&answer);
                clock::wait(Duration::from_millis(10));
                let _ = stream.write_all(&answer);
            }
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    let (warm_up, window) = (Duration::ZERO, Duration::from_millis(100));
    let plan = Plan { connections: 1, warm_up, ..plan(20, window) };
    let outcome = run(&url, &plan, None, None).unwrap();
    assert!(outcome.errors.iter().any(|(why, _)| why == UNASKED), "{:?}", outcome.errors);
}

#[test]
fn a_closed_loop_keeps_every_connection_busy() {
    let mut origin = origin();
    let url = Url::root(origin.address);
    let plan = Plan { pace: Pace::Closed, ..plan(0, Duration::from_millis(100)) };
    let outcome = run(&url, &plan, Some(&mut origin), None).unwrap();
    assert!(outcome.times.count() > 4 && outcome.errors.total() == 0, "{outcome:?}");
    assert_eq!(outcome.held, 0, "a request is made when there is a connection for it");
    // With the origin elsewhere, it sleeps between answers.
    let url = Url::root(stalling(Duration::from_secs(3600), Duration::ZERO));
    let outcome = run(&url, &plan, None, None).unwrap();
    assert!(outcome.times.count() > 4 && outcome.errors.total() == 0, "{outcome:?}");
}

#[test]
fn no_rate_is_refused() {
    let url = Url::root(SocketAddr::from(LOCAL));
    assert!(run(&url, &plan(0, Duration::ZERO), None, None).is_err());
}
