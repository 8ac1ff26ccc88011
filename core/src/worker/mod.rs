//! One pinned thread and all that it owns.

pub mod cap;
pub mod inbox;
pub mod pin;

use std::sync::Arc;

use ringway_config::Snapshot;
use ringway_config::snapshot::{Driver, ListenerId};

use crate::log::access::AccessLog;
use crate::net::{BoundListener, DriverInfo, Mailbox, MailboxSender, RuntimeError};
use crate::shard::Shard;
use cap::ConnectionCap;
use inbox::{Command, Directory, Report};

/// All that a worker is started with.
#[derive(Debug)]
pub struct Start {
    /// Which worker, from 0.
    pub id: usize,
    /// The CPU to pin to.
    pub cpu: usize,
    /// Which driver may run.
    pub driver: Driver,
    /// The first snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Its members.
    pub directory: Directory,
    /// Its listening sockets.
    pub listeners: Vec<(ListenerId, BoundListener)>,
    /// From control.
    pub inbox: Mailbox<Command>,
    /// To control.
    pub reports: MailboxSender<Report>,
    /// This worker's counters.
    pub shard: Arc<Shard>,
    /// This worker's end of the access log.
    pub access: AccessLog,
    /// The process-wide connection limits.
    pub connections: Arc<ConnectionCap>,
}

/// Runs a worker on this thread until it has drained. Reports `Started` first, with the driver in use.
pub fn run(_start: Start) -> Result<DriverInfo, RuntimeError> {
    todo!()
}
