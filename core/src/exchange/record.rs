//! What is noted of an exchange while it runs, and told at its end to the counters and the access log.

use std::rc::Rc;
use std::time::Duration;

use ringway_config::snapshot::{RouteId, UpstreamId};
use ringway_http::{Known, Version};

use crate::clock::Moment;
use crate::downstream::Connection;
use crate::error::Fault;
use crate::log::access::{AccessRecord, Stages};
use crate::shard::{Count, ExchangeCount, Held, NO_ROUTE, NO_UPSTREAM};
use crate::upstream::Seat;
use crate::worker::{Local, Plan, Scratch};

/// The notes.
pub(crate) struct Record {
    /// It is in progress.
    _active: Held,
    began: Moment,
    /// The moment that was read last.
    latest: Moment,
    /// Whether stages are timed, which only the access log shows. Otherwise no clock is read for them.
    timed: bool,
    /// The end, if it was read already.
    ended: Option<Moment>,
    pub(super) route: Option<RouteId>,
    pub(super) upstream: Option<UpstreamId>,
    /// The member of the last attempt.
    pub(super) seat: Option<Rc<Seat>>,
    pub(super) attempts: u32,
    /// The status of the final response head; 0 until one was sent.
    pub(super) status: u16,
    pub(super) reason: Option<&'static str>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) stages: Stages,
}

/// The names that the end of an exchange needs, borrowed from the plan.
pub(crate) struct Names<'a> {
    route: &'a str,
    route_metric: u32,
    upstream: &'a str,
    upstream_metric: u32,
    access_log: bool,
}

/// The same, owned: a tunnel outlives its plan.
pub(crate) struct OwnedNames {
    route: String,
    route_metric: u32,
    upstream: String,
    upstream_metric: u32,
    access_log: bool,
}

impl OwnedNames {
    /// Lends them.
    pub(crate) fn lend(&self) -> Names<'_> {
        Names {
            route: &self.route,
            route_metric: self.route_metric,
            upstream: &self.upstream,
            upstream_metric: self.upstream_metric,
            access_log: self.access_log,
        }
    }
}

impl Names<'_> {
    /// Copies them.
    pub(crate) fn own(&self) -> OwnedNames {
        OwnedNames {
            route: self.route.to_owned(),
            route_metric: self.route_metric,
            upstream: self.upstream.to_owned(),
            upstream_metric: self.upstream_metric,
            access_log: self.access_log,
        }
    }
}

impl Record {
    /// Notes of an exchange whose first byte came at `began`.
    pub(crate) fn new(local: &Local, began: Moment) -> Self {
        Self {
            _active: local.counts.hold(Count::ExchangesActive),
            began,
            latest: began,
            timed: local.access.borrow().is_on(),
            ended: None,
            route: None,
            upstream: None,
            seat: None,
            attempts: 0,
            status: 0,
            reason: None,
            bytes_in: 0,
            bytes_out: 0,
            stages: Stages::default(),
        }
    }

    /// Reads the clock.
    pub(super) fn now(&mut self, local: &Local) -> Moment {
        self.latest = local.now();
        self.latest
    }

    /// Reads the clock, knowing that the exchange ends with what is done now.
    pub(super) fn end(&mut self, local: &Local) -> Moment {
        let now = self.now(local);
        self.ended = Some(now);
        now
    }

    /// When a stage ends: microseconds since the first byte.
    pub(super) fn stage(&mut self, local: &Local) -> u32 {
        if self.timed {
            self.latest = local.now();
        }
        self.micros(self.latest)
    }

    /// The same for a stage that waited for nothing: the end of the one before.
    pub(super) fn stage_at_once(&self) -> u32 {
        self.micros(self.latest)
    }

    fn micros(&self, now: Moment) -> u32 {
        u32::try_from(now.since(self.began).as_micros()).unwrap_or(u32::MAX)
    }

    /// Whether a final response head has been sent.
    pub(super) fn has_responded(&self) -> bool {
        self.status != 0
    }

    /// Notes why the gateway answered itself, or cut the exchange.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.reason = Some(fault.describe().reason);
    }

    /// The names for the end.
    pub(super) fn names<'a>(&self, plan: &'a Plan) -> Names<'a> {
        let route = self.route.and_then(|id| plan.route(id));
        let upstream = self.upstream.and_then(|id| plan.upstream(id)).and_then(|upstream| upstream.spec());
        Names {
            route: route.map_or("", |route| &route.name),
            route_metric: route.map_or(NO_ROUTE, |route| route.metric),
            upstream: upstream.map_or("", |upstream| &upstream.name),
            upstream_metric: upstream.map_or(NO_UPSTREAM, |upstream| upstream.metric),
            access_log: route.is_none_or(|route| route.access_log),
        }
    }

    /// The end: counters and the access log.
    pub(crate) fn finish(
        mut self,
        local: &Local,
        connection: &Connection,
        scratch: &Scratch,
        names: &Names<'_>,
    ) {
        let now = self.ended.unwrap_or_else(|| local.now());
        self.stages.total_us = self.micros(now);
        local.counts.exchange(&ExchangeCount {
            route: names.route_metric,
            upstream: names.upstream_metric,
            method: scratch.request.method,
            status: self.status,
            reason: self.reason,
            duration: Duration::from_micros(u64::from(self.stages.total_us)),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        });
        if names.access_log {
            self.log(local, connection, scratch, names);
        }
    }

    fn log(&self, local: &Local, connection: &Connection, scratch: &Scratch, names: &Names<'_>) {
        let request = &scratch.request;
        let secured = connection.secured.as_deref();
        let tls_us = secured.filter(|_| connection.served == 1).map(|tls| tls.handshake_us);
        let dropped = local.access.borrow_mut().write(&AccessRecord {
            request_id: &scratch.facts.request_id,
            client_ip: scratch.facts.client_ip,
            listener: &connection.stay.entry.listener.name,
            method: request.method_text(),
            target: request.target(),
            host: request.host(),
            protocol: match request.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
                Version::Http2 => "HTTP/2.0",
            },
            tls: secured.map_or("", |tls| tls.protocol.name()),
            sni: secured.and_then(|tls| tls.server_name.as_deref()).unwrap_or_default(),
            resumed: secured.map(|tls| tls.resumed),
            route: names.route,
            upstream: names.upstream,
            endpoint: self.seat.as_ref().map_or("", |seat| &seat.member.endpoint),
            attempts: self.attempts,
            status: self.status,
            reason: self.reason,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            user_agent: request.fields.known(Known::UserAgent).unwrap_or_default(),
            referer: request.fields.known(Known::Referer).unwrap_or_default(),
            stages: Stages { tls_us, ..self.stages },
        });
        if dropped > 0 {
            local.counts.add(Count::LogLinesDropped, u64::from(dropped));
        }
    }
}
