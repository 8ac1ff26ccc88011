//! Makes the active checks: one task per member, a GET on a connection of its own each interval. Only control
//! checks; workers are told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ringway_http::h1::{HeadReader, write_request};
use ringway_http::{Fields, Framing, Limits, Method, ResponseHead};

use super::health::{Identity, Secure, Wanted};
use crate::clock::Clock;
use crate::net::tls;
use crate::net::{self, Buffers, NetError, Timers};

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
        let outcome = check(&member, &wanted, &tools).await;
        if ended.get() {
            return;
        }
        (tools.told)(&member, &wanted, outcome);
        net::sleep(wanted.check.interval.saturating_sub(tools.clock.now().since(began))).await;
    }
}

async fn check(member: &Identity, wanted: &Wanted, tools: &Tools) -> Result<(), String> {
    let status = ask(member, wanted, tools).await.map_err(|error| error.to_string())??;
    if wanted.check.expect.contains(&status) {
        return Ok(());
    }
    Err(format!("status {status}"))
}

/// The status of the answer. The outer error is the network's, the inner one the protocol's.
async fn ask(member: &Identity, wanted: &Wanted, tools: &Tools) -> Result<Result<u16, String>, NetError> {
    let deadline = tools.timers.deadline();
    deadline.set(tools.clock.now().after(wanted.check.timeout));
    let stream = net::connect(&member.address, &deadline).await?;
    let (mut reader, mut writer) = stream.split(&tools.buffers);
    if let Some(Secure { config, name, .. }) = &wanted.tls {
        let Some(name) = name.clone() else { return Ok(Err("its TLS has no name to ask for".to_owned())) };
        let shaken = Box::pin(tls::connect(&mut reader, &mut writer, config, name, &deadline)).await;
        if let Err(error) = shaken {
            return Ok(Err(format!("TLS: {error}")));
        }
    }

    let mut fields = Fields::new();
    for (name, value) in
        [("User-Agent", &b"ringway-health"[..]), ("Accept", b"*/*"), ("Connection", b"close")]
    {
        // Constants that are valid fields.
        let _valid = fields.push(name, value);
    }
    let mut request = tools.buffers.take(Buffers::SMALL);
    write_request(request.append(), "GET", &wanted.check.path, &wanted.host, &fields, Framing::None, None);
    writer.send(request, &deadline).await?;

    let (limits, mut heads, mut head) = (Limits::default(), HeadReader::new(), ResponseHead::new());
    let mut input = Vec::new();
    loop {
        match heads.response(&input, &limits, Method::Get, &mut head) {
            Err(error) => return Ok(Err(error.to_string())),
            Ok(Some(used)) if head.is_interim() => drop(input.drain(..used)),
            Ok(Some(_)) => return Ok(Ok(head.status)),
            Ok(None) => match reader.recv(&deadline).await? {
                Some(bytes) => input.extend_from_slice(bytes.filled()),
                None => return Ok(Err("closed before an answer".to_owned())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use ringway_config::snapshot::{Driver, HealthCheck};

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
            path: "/health".into(),
            host: None,
            expect: vec![200, 204],
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
            let wanted = Wanted { check, host: "a.example".into(), tls: None };
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
