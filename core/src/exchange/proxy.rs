//! The terminal that proxies: attempts, and when another one is right.

use std::rc::Rc;

use ringway_config::snapshot::{Route, UpstreamId};
use ringway_http::Persistence;

use super::attempt::Attempt;
use super::body::RequestBody;
use super::response::Outcome;
use super::{End, Exchange, grpc};
use crate::clock::Moment;
use crate::downstream::After;
use crate::error::{Fault, Retry};
use crate::shard::EndpointCount;
use crate::upstream::{Checkout, Origin, Seat, Upstream};

/// What the attempts of an exchange have in common, and what they have learnt.
struct Attempts<'p> {
    route: &'p Route,
    until: Moment,
    /// The whole body, when it is at hand: what can be sent again.
    ready: Option<usize>,
    /// Members that failed.
    tried: Vec<Rc<Seat>>,
    /// Whether the request was sent once more because a pooled connection had died; that happens once.
    replayed: bool,
    /// The member of that repetition.
    again: Option<Rc<Seat>>,
}

/// What follows a failed attempt.
enum Next {
    /// The client is told.
    GiveUp,
    /// The same request on a new connection, as a pooled one died: that says nothing about the endpoint.
    Replay,
    /// An attempt at another member, if there is one.
    Another,
}

impl Exchange<'_> {
    /// Proxies to an upstream.
    pub(super) async fn proxy(&mut self, route: &Route, id: UpstreamId) -> End {
        self.record.upstream = Some(id);
        let plan = Rc::clone(&self.plan);
        let Some(upstream) = plan.upstream(id) else { return self.fail(Fault::NoEndpoint).await.into() };
        // A gRPC client that waits for less has that as its route's timeout.
        let time = grpc::time_left(&self.scratch.request.fields).unwrap_or(route.timeout);
        let until = self.record.now(self.local).after(time.min(route.timeout));
        self.translate_request(route);
        self.take_body_at_hand();
        let mut attempts = Attempts {
            route,
            until,
            ready: self.ready_body(),
            tried: Vec::new(),
            replayed: false,
            again: None,
        };
        loop {
            let Some(seat) = attempts.again.take().or_else(|| upstream.pick(&attempts.tried)) else {
                return self.fail(Fault::NoEndpoint).await.into();
            };
            self.record.attempts += 1;
            self.record.seat = Some(Rc::clone(&seat));
            self.count(&seat, EndpointCount::Attempts);
            let (result, origin, checkout) = self.try_seat(upstream, &seat, &attempts).await;
            match result {
                Ok(outcome) => match self.conclude(outcome, checkout) {
                    Some(end) => return end,
                    None => attempts.tried.push(Rc::clone(&seat)),
                },
                Err(fault) => {
                    self.count_fault(&seat, fault);
                    let others = upstream.others(&seat, &attempts.tried);
                    match self.next(fault, origin, &attempts, others) {
                        Next::GiveUp => return self.fail(fault).await.into(),
                        Next::Replay => {
                            attempts.replayed = true;
                            self.count(&seat, EndpointCount::Replays);
                            attempts.again = Some(seat);
                            continue;
                        }
                        Next::Another => attempts.tried.push(Rc::clone(&seat)),
                    }
                }
            }
            self.count(&seat, EndpointCount::Retries);
        }
    }

    /// A connection to a member, and the attempt on it.
    async fn try_seat(
        &mut self,
        upstream: &Upstream,
        seat: &Rc<Seat>,
        attempts: &Attempts<'_>,
    ) -> (Result<Outcome, Fault>, Origin, Option<Checkout>) {
        // After a pooled connection has died, only a new one can be trusted not to be dying too.
        let pooled = if attempts.replayed { None } else { Checkout::pooled(self.local, &seat.pool) };
        let (mut checkout, connect_us) = match pooled {
            Some(checkout) => (checkout, self.record.stage_at_once()),
            None => match self.connect(upstream, seat, attempts.until).await {
                Ok(checkout) => (checkout, self.record.stage(self.local)),
                Err(fault) => return (Err(fault), Origin::Fresh, None),
            },
        };
        self.record.stages.connect_us = Some(connect_us);
        let attempt = Attempt {
            route: attempts.route,
            seat,
            until: attempts.until,
            ready: attempts.ready,
            may_try_again: self.record.attempts < attempts.route.retry.attempts
                && self.may_send_again(attempts),
        };
        let origin = checkout.origin;
        let result = self.attempt(&attempt, &mut checkout).await;
        if let (Err(Fault::UpstreamTimeout), Some(ride)) = (&result, &checkout.ride) {
            ride.give_up();
        }
        (result, origin, Some(checkout))
    }

    async fn connect(&self, upstream: &Upstream, seat: &Rc<Seat>, until: Moment) -> Result<Checkout, Fault> {
        let timeout = upstream.spec().map(|spec| spec.connect_timeout).unwrap_or_default();
        let now = self.local.now();
        let mut at = now.after(timeout).min(until);
        if self.local.cut.get() {
            at = now;
        }
        let connected = Checkout::connect(self.local, &seat.pool, at).await;
        if at == until && matches!(connected, Err(Fault::ConnectTimeout)) {
            // Not the endpoint's time is over, but the exchange's.
            return Err(Fault::UpstreamTimeout);
        }
        connected
    }

    /// What a relayed response leaves behind. `None`: the next attempt.
    fn conclude(&mut self, outcome: Outcome, checkout: Option<Checkout>) -> Option<End> {
        match outcome {
            // Its connection is dropped: its body is not worth reading.
            Outcome::TryAgain => None,
            Outcome::Upgraded => {
                self.use_ready_body();
                checkout.map(|checkout| End::Tunnel(Box::new(checkout)))
            }
            Outcome::Done { persistence, boundary } => {
                if let (Some(proof), Some(checkout)) = (boundary, checkout) {
                    checkout.release(proof, self.record.end(self.local));
                }
                self.use_ready_body();
                Some(End::After(match (persistence, self.body) {
                    (Persistence::KeepAlive, RequestBody::Done) => After::KeepAlive,
                    (Persistence::Close, RequestBody::Done) => self.close_after_last(),
                    _ => After::Linger,
                }))
            }
        }
    }

    /// Takes a body that was at hand, and has been sent, off the input, where it stood for the case of a repetition.
    fn use_ready_body(&mut self) {
        if let RequestBody::Untouched(_) = self.body {
            let ready = self.ready_body().unwrap_or_default();
            self.connection.input.consume(ready);
            self.record.bytes_in += ready as u64;
            self.body = RequestBody::Done;
        }
    }

    /// Whether the request could be sent again: it is at hand, and doing it twice is the same as doing it once.
    fn may_send_again(&self, attempts: &Attempts<'_>) -> bool {
        attempts.ready.is_some()
            && self.scratch.request.method.is_idempotent()
            && self.scratch.upgrade.is_empty()
    }

    /// What to do after a fault.
    fn next(&self, fault: Fault, origin: Origin, attempts: &Attempts<'_>, others: usize) -> Next {
        if self.record.has_responded() || self.local.now() >= attempts.until || self.local.cut.get() {
            return Next::GiveUp;
        }
        let made = self.record.attempts - u32::from(attempts.replayed);
        let again = match fault.describe().retry {
            Retry::Never => return Next::GiveUp,
            Retry::IfIdempotent if !self.may_send_again(attempts) => return Next::GiveUp,
            Retry::IfIdempotent if origin == Origin::Pooled && !attempts.replayed => return Next::Replay,
            // A body that is not at hand any more cannot be sent again, whatever became of the first time.
            Retry::Unprocessed if attempts.ready.is_none() => return Next::GiveUp,
            Retry::Unprocessed if !attempts.replayed => return Next::Replay,
            // At the same endpoint, a moment later, it would fail again.
            Retry::Safe | Retry::Unprocessed if others == 0 => return Next::GiveUp,
            // Without another endpoint, only who asks for repetitions by status gets them.
            Retry::IfIdempotent if others == 0 && attempts.route.retry.on.is_empty() => return Next::GiveUp,
            Retry::Safe | Retry::IfIdempotent | Retry::Unprocessed => attempts.route.retry.attempts,
        };
        if made < again { Next::Another } else { Next::GiveUp }
    }

    fn count_fault(&self, seat: &Seat, fault: Fault) {
        if fault.describe().side == crate::error::Side::Upstream {
            self.count(seat, EndpointCount::Failures);
        }
    }

    fn count(&self, seat: &Seat, name: EndpointCount) {
        self.local.counts.endpoint_add(seat.member.metric, name, 1);
    }
}
