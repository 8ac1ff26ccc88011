//! Idle connections to one address, on one worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use ringway_config::snapshot::Protocol;
use ringway_config::tls::UpstreamTls;

use super::lane::Lanes;
use super::secure::Secure;

use crate::clock::Moment;
use crate::net::SocketAddress;
use crate::net::tls::Alpn;
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
    /// Connections that carry many exchanges.
    pub(super) lanes: Lanes,
    terms: Cell<Terms>,
    /// What TLS is spoken with; none: it is in clear.
    pub(super) secure: Option<Secure>,
}

/// What the newest snapshot says of an upstream's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Idle connections that are kept: `0 <= idle.len() <= keepalive`.
    pub(crate) keepalive: usize,
    /// For how long.
    pub(crate) keepalive_timeout: Duration,
    /// What is spoken on them.
    pub(crate) protocol: Protocol,
    /// Exchanges at once on one that carries many.
    pub(crate) streams_max: usize,
}

impl Terms {
    /// For tests and benches: one idle connection, HTTP/1.1.
    pub(crate) const LEAST: Self = Self {
        keepalive: 1,
        keepalive_timeout: Duration::from_secs(1),
        protocol: Protocol::Http1,
        streams_max: 1,
    };
}

impl From<&ringway_config::snapshot::Upstream> for Terms {
    fn from(upstream: &ringway_config::snapshot::Upstream) -> Self {
        Self {
            keepalive: upstream.keepalive,
            keepalive_timeout: upstream.keepalive_timeout,
            protocol: upstream.protocol,
            streams_max: usize::try_from(upstream.streams_max).unwrap_or(usize::MAX),
        }
    }
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
        if self.idle.borrow().len() >= self.terms.get().keepalive || !connection.reader.is_quiet() {
            return;
        }
        self.count(EndpointCount::Idle);
        self.idle.borrow_mut().push(Idle { since: now, connection });
    }

    /// Closes what is too old, and what its endpoint has closed.
    pub(crate) fn reap(&self, now: Moment) {
        let Terms { keepalive, keepalive_timeout: timeout, .. } = self.terms.get();
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

    /// Whether its connections carry many exchanges: it is told so, or chose so in the last handshake.
    pub(super) fn speaks_http2(&self) -> bool {
        match self.terms().protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => {
                self.secure.as_ref().is_some_and(|secure| secure.chosen.get() == Some(Alpn::H2))
            }
        }
    }

    /// What the newest snapshot says.
    pub(super) fn terms(&self) -> Terms {
        self.terms.get()
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

/// The upstream's name, the address, and a mark of how TLS is spoken: what was opened under other terms is not used.
type PoolKey = (Arc<str>, SocketAddress, Option<u64>);

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
        terms: Terms,
        tls: Option<&UpstreamTls>,
    ) -> Rc<Pool> {
        let key = (Arc::clone(upstream), member.address.clone(), tls.map(|tls| tls.fingerprint));
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(key).or_insert_with(|| {
            Rc::new(Pool {
                address: member.address.clone(),
                metric: member.metric,
                counts: Rc::clone(&self.counts),
                idle: RefCell::default(),
                lanes: Lanes::default(),
                terms: Cell::new(terms),
                secure: tls.map(|tls| Secure::new(tls, &member.host)),
            })
        });
        pool.terms.set(terms);
        Rc::clone(pool)
    }

    /// Closes old idle connections everywhere, and forgets pools that no plan uses.
    pub(crate) fn reap(&self, now: Moment) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.reap(now);
            let is_used = Rc::strong_count(pool) > 1;
            if !is_used {
                pool.lanes.leave();
            }
            is_used
        });
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        for pool in self.pools.borrow().values() {
            pool.lanes.leave();
        }
        self.pools.borrow_mut().clear();
    }
}
