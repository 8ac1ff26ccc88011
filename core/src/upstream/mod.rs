//! Upstreams as one worker sees them: members, their pools, and whose turn it is.

mod balancer;
mod connection;
mod lane;
mod pool;
mod secure;

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use ringway_config::snapshot::{Snapshot, UpstreamId};

use crate::worker::inbox::Member;
pub(crate) use balancer::{Turn, pick};
pub(crate) use connection::{Checkout, Origin, Reusable};
pub(crate) use pool::{Pool, Pools, Terms};
pub(crate) use secure::server_name;

/// One member on this worker: where it is, its pool, and its standing in the round.
#[derive(Debug)]
pub(crate) struct Seat {
    /// What control said of it.
    pub(crate) member: Member,
    /// Its connections.
    pub(crate) pool: Rc<Pool>,
    /// Its standing in the round.
    pub(crate) turn: Turn,
}

/// A named service on this worker. Lives as long as a plan; its pools outlive it.
#[derive(Debug)]
pub(crate) struct Upstream {
    snapshot: Arc<Snapshot>,
    id: UpstreamId,
    seats: RefCell<Vec<Rc<Seat>>>,
}

impl Upstream {
    /// Seats an upstream of a snapshot with its members, whose pools are found by address.
    pub(crate) fn seat(
        snapshot: &Arc<Snapshot>,
        id: UpstreamId,
        members: &[Member],
        pools: &Pools,
    ) -> Option<Self> {
        snapshot.upstreams.get(id.0 as usize)?;
        let upstream = Self { snapshot: Arc::clone(snapshot), id, seats: RefCell::default() };
        upstream.set_members(members, pools);
        upstream.stagger();
        Some(upstream)
    }

    /// Starts the round at a random place, so that workers (and gateways) do not all begin with the first endpoint.
    fn stagger(&self) {
        let seats = self.seats.borrow();
        let random = RandomState::new().build_hasher().finish();
        let skipped = random.checked_rem(seats.len() as u64).unwrap_or_default();
        for _ in 0..skipped {
            let _ = pick(&seats, |_| true);
        }
    }

    /// Replaces the members. Pools go on by address, standings by endpoint and address.
    pub(crate) fn set_members(&self, members: &[Member], pools: &Pools) {
        let Some(spec) = self.spec() else { return };
        let old = std::mem::take(&mut *self.seats.borrow_mut());
        let seats = members.iter().map(|member| {
            let before = old.iter().find(|seat| {
                seat.member.address == member.address && seat.member.endpoint == member.endpoint
            });
            let pool = pools.pool(&spec.name, member, spec.into(), spec.tls.as_deref());
            let turn = before.map_or_else(Turn::default, |seat| seat.turn.clone());
            Rc::new(Seat { member: member.clone(), pool, turn })
        });
        *self.seats.borrow_mut() = seats.collect();
    }

    /// What the file says of it.
    pub(crate) fn spec(&self) -> Option<&ringway_config::snapshot::Upstream> {
        self.snapshot.upstreams.get(self.id.0 as usize)
    }

    /// Whose turn it is among the healthy members that were not tried yet (then among all healthy ones). `None`: none
    /// is healthy.
    pub(crate) fn pick(&self, tried: &[Rc<Seat>]) -> Option<Rc<Seat>> {
        let seats = self.seats.borrow();
        let fresh = pick(&seats, |seat| {
            seat.member.healthy && !tried.iter().any(|other| other.member.address == seat.member.address)
        });
        fresh.or_else(|| if tried.is_empty() { None } else { pick(&seats, |seat| seat.member.healthy) })
    }

    /// How many healthy members are left that were not tried.
    pub(crate) fn others(&self, failed: &Seat, tried: &[Rc<Seat>]) -> usize {
        let is_tried = |seat: &Seat| {
            let mut known = tried.iter().map(|seat| &**seat).chain([failed]);
            known.any(|other| other.member.address == seat.member.address)
        };
        self.seats.borrow().iter().filter(|seat| seat.member.healthy && !is_tried(seat)).count()
    }

    /// Whether any member is healthy.
    pub(crate) fn is_healthy(&self) -> bool {
        self.seats.borrow().iter().any(|seat| seat.member.healthy)
    }
}
