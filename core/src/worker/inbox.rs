//! What control tells a worker, and what a worker tells control.

use std::sync::Arc;

use ringway_config::Snapshot;
use ringway_config::snapshot::{Epoch, ListenerId};

use crate::net::{BoundListener, SocketAddress};

/// One address that an upstream's requests may go to: an endpoint, resolved. A name with two addresses is two members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `Endpoint::text`.
    pub endpoint: Arc<str>,
    /// `Endpoint::metric`.
    pub metric: u32,
    /// Where to connect to.
    pub address: SocketAddress,
    /// The `Host` when the client's is not preserved: `name:port`, without a default port.
    pub host: Arc<str>,
    /// Its share.
    pub weight: u32,
    /// Whether requests may go there.
    pub healthy: bool,
}

/// All members of each upstream, by `UpstreamId`.
pub type Directory = Arc<[Arc<[Member]>]>;

/// Control to worker.
#[derive(Debug)]
pub enum Command {
    /// Seat this snapshot. Listeners that go on keep their sockets; new ones come along; those not in the snapshot
    /// are drained and closed.
    Seat {
        /// What to seat.
        snapshot: Arc<Snapshot>,
        /// Its members, by `UpstreamId`.
        directory: Directory,
        /// Sockets of listeners that are new on this worker, one per bound address.
        listeners: Vec<(ListenerId, BoundListener)>,
    },
    /// Members changed (health or DNS) under the snapshot of this epoch.
    Directory {
        /// The epoch that the indices belong to; an older one is ignored.
        epoch: Epoch,
        /// All members.
        directory: Directory,
    },
    /// Readiness goes red: `respond = "ready"` answers 503 from now on; keep-alive answers say `Connection: close`.
    Unready,
    /// Stop accepting, finish what runs until the deadline, then end.
    Drain {
        /// How long at most.
        timeout: std::time::Duration,
    },
}

/// Worker to control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The worker's ring is up and its listeners accept.
    Started {
        /// Which worker, from 0.
        worker: usize,
        /// Which driver it runs.
        driver: crate::net::DriverInfo,
    },
    /// The worker has seated this epoch.
    Seated {
        /// Which worker, from 0.
        worker: usize,
        /// What it seated.
        epoch: Epoch,
    },
    /// The worker's last connection is gone (or the deadline passed, with so many cut).
    Drained {
        /// Which worker.
        worker: usize,
        /// Connections that the deadline cut.
        cut: u64,
    },
}
