//! What every task of a worker can reach. `!Send`: it never leaves its thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::cap::ConnectionCap;
use super::date::Date;
use super::parting::Parting;
use super::plan::Plan;
use super::registry::Registry;
use super::scratch::Scratches;
use crate::clock::{Clock, Moment};
use crate::downstream::Runners;
use crate::exchange::request_id::RequestIds;
use crate::log::access::AccessLog;
use crate::net::tls::Tickets;
use crate::net::{Buffers, Timers};
use crate::shard;
use crate::upstream::Pools;

/// The worker's own things.
pub(crate) struct Local {
    /// Reads the monotonic clock.
    pub(crate) clock: Clock,
    /// Free buffers.
    pub(crate) buffers: Rc<Buffers>,
    /// The timer wheel.
    pub(crate) timers: Rc<Timers>,
    /// Counters.
    pub(crate) counts: Rc<shard::Writer>,
    /// The access log.
    pub(crate) access: RefCell<AccessLog>,
    /// Connections to endpoints.
    pub(crate) pools: Pools,
    /// What is seated now.
    pub(crate) plan: RefCell<Rc<Plan>>,
    /// Whether `respond = "ready"` is green and keep-alive answers keep alive.
    pub(crate) ready: Cell<bool>,
    /// Set when the drain's deadline has passed: every wait ends.
    pub(crate) cut: Cell<bool>,
    /// Accept loops that have not ended.
    pub(crate) accepting: Cell<usize>,
    /// Open client connections.
    pub(crate) registry: Registry,
    /// Tunnels that a drain tells to end.
    pub(crate) parting: Parting,
    /// What an exchange needs and gives back.
    pub(crate) scratches: Scratches,
    /// The futures in which exchanges run.
    pub(crate) runners: Runners,
    /// The `Date` field's value.
    pub(crate) date: Date,
    /// Makes request ids.
    pub(crate) request_ids: RequestIds,
    /// The process-wide connection limits.
    pub(crate) connections: Arc<ConnectionCap>,
    /// Makes session tickets.
    pub(crate) tickets: Tickets,
}

impl Local {
    /// Now, on the monotonic clock.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The plan to begin an exchange with.
    pub(crate) fn plan(&self) -> Rc<Plan> {
        Rc::clone(&self.plan.borrow())
    }
}
