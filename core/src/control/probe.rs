//! Makes the active checks: one task per member, a GET on a connection of its own each interval. Only control
//! checks; workers are told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ringway_http::h1::{HeadReader, write_request};
use ringway_http::{Fields, Framing, Limits, Method, ResponseHead};

use super::health::{Identity, Wanted};
use crate::clock::Clock;
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
