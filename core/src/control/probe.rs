//! Makes the active checks: one task per member, which asks each interval. Only control checks; workers are told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::ask::ask;
use super::health::{Identity, Wanted};
use crate::clock::Clock;
use crate::net::{self, Buffers, Timers};

/// Told the member, what was wanted, and why the check failed.
type Told = dyn Fn(&Identity, &Wanted, Result<(), String>);

/// What every check needs, and whom it tells.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) clock: Clock,
    pub(super) timers: Rc<Timers>,
    pub(super) buffers: Rc<Buffers>,
    /// Told each result.
    pub(super) told: Rc<Told>,
}

/// The checks that are being made. Dropping it ends them.
#[derive(Default)]
pub(super) struct Probes {
    running: BTreeMap<Identity, Probe>,
}

struct Probe {
    wanted: Wanted,
    /// Ends the task at its next step when set.
    ended: Rc<Cell<bool>>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.ended.set(true);
    }
}

impl Probes {
    /// Makes these checks and no others; one that is made already in the same way goes on in its rhythm.
    pub(super) fn follow(&mut self, wanted: BTreeMap<Identity, Wanted>, tools: &Tools) {
        self.running.retain(|member, probe| wanted.get(member) == Some(&probe.wanted));
        for (member, wanted) in wanted {
            self.running.entry(member).or_insert_with_key(|member| {
                let ended = Rc::new(Cell::new(false));
                net::spawn(repeat(member.clone(), wanted.clone(), tools.clone(), Rc::clone(&ended)));
                Probe { wanted, ended }
            });
        }
    }
}

/// The first check is made at once, the next an interval after the start of the one before.
async fn repeat(member: Identity, wanted: Wanted, tools: Tools, ended: Rc<Cell<bool>>) {
    while !ended.get() {
        let began = tools.clock.now();
        let outcome = ask(&member, &wanted, &tools).await;
        if ended.get() {
            return;
        }
        (tools.told)(&member, &wanted, outcome);
        net::sleep(wanted.check.interval.saturating_sub(tools.clock.now().since(began))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use ringway_config::snapshot::{Driver, HealthCheck, Protocol, Question};

    use super::*;
    use crate::net::SocketAddress;

    fn tools(told: Rc<Told>) -> Tools {
        Tools { clock: Clock::new(), timers: Timers::start(), buffers: Buffers::new(), told }
    }

    /// The outcome of one check of an endpoint that answers with these bytes, and what it was asked.
    fn checking(answer: Option<&'static [u8]>) -> (Result<(), String>, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = SocketAddress::Tcp(listener.local_addr().unwrap());
        let endpoint = std::thread::Builder::new().spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let n = stream.read(&mut asked).unwrap();
            if let Some(answer) = answer {
                stream.write_all(answer).unwrap();
            } else {
                // Says nothing until the check has given up.
                let _ = stream.read(&mut [0]);
            }
            String::from_utf8_lossy(&asked[..n]).into_owned()
        });
        let check = HealthCheck {
            question: Question::Http { path: "/health".into(), host: None, expect: vec![200, 204] },
            interval: Duration::from_secs(3600),
            timeout: Duration::from_millis(if answer.is_some() { 10_000 } else { 50 }),
            unhealthy_after: 1,
            healthy_after: 1,
        };
        let member = Identity { upstream: Arc::from("u"), endpoint: Arc::from("e"), address };
        let outcome = net::run(Driver::Auto, |_driver| async move {
            let (done, mut finished) = net::mailbox(1).unwrap();
            let outcome = Rc::new(RefCell::new(None));
            let kept = Rc::clone(&outcome);
            let told = move |_: &Identity, _: &Wanted, result: Result<(), String>| {
                *kept.borrow_mut() = Some(result);
                done.send(()).unwrap();
            };
            let mut probes = Probes::default();
            let wanted = Wanted { check, host: "a.example".into(), protocol: Protocol::Http1, tls: None };
            probes.follow(BTreeMap::from([(member, wanted)]), &tools(Rc::new(told)));
            finished.recv().await;
            outcome.take().unwrap()
        });
        (outcome.unwrap(), endpoint.unwrap().join().unwrap())
    }

    #[test]
    fn an_expected_status_passes() {
        let (outcome, asked) =
            checking(Some(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"));
        assert_eq!(outcome, Ok(()));
        assert!(asked.starts_with("GET /health HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("Host: a.example\r\n"), "{asked}");
    }

    #[test]
    fn another_status_no_answer_or_no_http_fails_and_says_why() {
        let cases: [(Option<&'static [u8]>, &str); 4] = [
            (Some(b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n"), "status 500"),
            (Some(b""), "closed before an answer"),
            (None, "timed out"),
            (Some(b"SSH-2.0-x\r\n\r\n"), ""),
        ];
        for (answer, expected) in cases {
            let why = checking(answer).0.unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }
}
