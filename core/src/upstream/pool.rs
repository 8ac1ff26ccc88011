//! Idle connections to one address, on one worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use crate::clock::Moment;
use crate::net::SocketAddress;
use crate::shard::{EndpointCount, Writer};
use crate::worker::inbox::Member;

/// The idle connections of one address. The newest is used first, so that the rest can grow old and go.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Where its connections lead.
    pub(crate) address: SocketAddress,
    /// The endpoint's place in the metrics.
    pub(crate) metric: u32,
    counts: Rc<Writer>,
    idle: RefCell<Vec<Idle>>,
    /// `0 <= idle.len() <= keepalive`.
    keepalive: Cell<usize>,
    keepalive_timeout: Cell<Duration>,
}

#[derive(Debug)]
struct Idle {
    since: Moment,
    connection: Connection,
}

impl Pool {
    /// An idle connection that its endpoint has neither closed nor written to.
    pub(super) fn take_quiet(&self) -> Option<Connection> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            self.count_sub(EndpointCount::Idle);
            if idle.connection.reader.is_quiet() {
                return Some(idle.connection);
            }
            self.count(EndpointCount::IdleClosed);
        }
    }

    /// Keeps a connection for later, or closes it when there are enough.
    pub(super) fn keep(&self, mut connection: Connection, now: Moment) {
        // Arms the watch, so that a close by the endpoint is seen before the next use.
        if self.idle.borrow().len() >= self.keepalive.get() || !connection.reader.is_quiet() {
            return;
        }
        self.count(EndpointCount::Idle);
        self.idle.borrow_mut().push(Idle { since: now, connection });
    }

    /// Closes what is too old, and what its endpoint has closed.
    pub(crate) fn reap(&self, now: Moment) {
        let timeout = self.keepalive_timeout.get();
        let keepalive = self.keepalive.get();
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        let mut closed = 0;
        idle.retain_mut(|entry| {
            if now.since(entry.since) >= timeout {
                return false;
            }
            let quiet = entry.connection.reader.is_quiet();
            closed += u64::from(!quiet);
            quiet
        });
        let surplus = idle.len().saturating_sub(keepalive);
        idle.drain(..surplus);
        let gone = before.saturating_sub(idle.len()) as u64;
        if gone > 0 {
            self.counts.endpoint_sub(self.metric, EndpointCount::Idle, gone);
        }
        if closed > 0 {
            self.counts.endpoint_add(self.metric, EndpointCount::IdleClosed, closed);
        }
    }

    pub(super) fn count(&self, name: EndpointCount) {
        self.counts.endpoint_add(self.metric, name, 1);
    }

    pub(super) fn count_sub(&self, name: EndpointCount) {
        self.counts.endpoint_sub(self.metric, name, 1);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let left = self.idle.borrow().len() as u64;
        if left > 0 {
            self.counts.endpoint_sub(self.metric, EndpointCount::Idle, left);
        }
    }
}

/// The upstream's name and the address.
type PoolKey = (Arc<str>, SocketAddress);

/// All pools of a worker, by upstream and address; they outlive plans.
#[derive(Debug)]
pub(crate) struct Pools {
    counts: Rc<Writer>,
    pools: RefCell<HashMap<PoolKey, Rc<Pool>>>,
}

impl Pools {
    /// No pools.
    pub(crate) fn new(counts: Rc<Writer>) -> Self {
        Self { counts, pools: RefCell::default() }
    }

    /// The pool of a member, made on first sight; its bounds follow the newest snapshot.
    pub(crate) fn pool(
        &self,
        upstream: &Arc<str>,
        member: &Member,
        keepalive: usize,
        timeout: Duration,
    ) -> Rc<Pool> {
        let key = (Arc::clone(upstream), member.address.clone());
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(key).or_insert_with(|| {
            Rc::new(Pool {
                address: member.address.clone(),
                metric: member.metric,
                counts: Rc::clone(&self.counts),
                idle: RefCell::default(),
                keepalive: Cell::new(keepalive),
                keepalive_timeout: Cell::new(timeout),
            })
        });
        pool.keepalive.set(keepalive);
        pool.keepalive_timeout.set(timeout);
        Rc::clone(pool)
    }

    /// Closes old idle connections everywhere, and forgets pools that no plan uses.
    pub(crate) fn reap(&self, now: Moment) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.reap(now);
            Rc::strong_count(pool) > 1
        });
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        self.pools.borrow_mut().clear();
    }
}
