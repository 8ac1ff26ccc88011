//! A snapshot seated on this worker: the worker-local halves of its filters and upstreams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ringway_config::Snapshot;
use ringway_config::regex;
use ringway_config::snapshot::{Listener, ListenerId, Route, RouteId, UpstreamId};
use ringway_filters::Chain;

use super::inbox::Directory;
use crate::upstream::{Pools, Upstream};

/// A seated snapshot. An exchange keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the file says.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What its regular expressions write to on this worker.
    pub(crate) regexes: RefCell<regex::Scratch>,
    /// By `RouteId`.
    chains: Vec<Rc<Chain>>,
    /// By `UpstreamId`.
    upstreams: Vec<Upstream>,
}

impl Plan {
    /// Seats a snapshot; filters and pools of the previous plan go on by identity.
    pub(crate) fn seat(
        snapshot: &Arc<Snapshot>,
        directory: &Directory,
        pools: &Pools,
        previous: Option<&Self>,
    ) -> Self {
        let before = previous.map(Self::chains_by_name).unwrap_or_default();
        let chains = snapshot
            .routes
            .all()
            .iter()
            .map(|route| {
                Rc::new(Chain::seat(&route.filters, before.get(&*route.name).map(|chain| &***chain)))
            })
            .collect();
        let upstreams = (0..snapshot.upstreams.len())
            .filter_map(|index| {
                let id = UpstreamId(u32::try_from(index).ok()?);
                let members = directory.get(index).map_or(&[][..], |members| members);
                Upstream::seat(snapshot, id, members, pools)
            })
            .collect();
        Self { snapshot: Arc::clone(snapshot), regexes: RefCell::default(), chains, upstreams }
    }

    /// Takes over new members of the same snapshot.
    pub(crate) fn set_directory(&self, directory: &Directory, pools: &Pools) {
        for (upstream, members) in self.upstreams.iter().zip(directory.iter()) {
            upstream.set_members(members, pools);
        }
    }

    /// A route of the snapshot.
    pub(crate) fn route(&self, id: RouteId) -> Option<&Route> {
        self.snapshot.routes.route(id)
    }

    /// A route's filters.
    pub(crate) fn chain(&self, id: RouteId) -> Option<&Rc<Chain>> {
        self.chains.get(id.0 as usize)
    }

    /// An upstream.
    pub(crate) fn upstream(&self, id: UpstreamId) -> Option<&Upstream> {
        self.upstreams.get(id.0 as usize)
    }

    /// All upstreams with their names.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = (&str, &Upstream)> {
        self.upstreams.iter().filter_map(|upstream| Some((&*upstream.spec()?.name, upstream)))
    }

    fn chains_by_name(&self) -> std::collections::HashMap<&str, &Rc<Chain>> {
        let names = self.snapshot.routes.all().iter().map(|route| &*route.name);
        names.zip(&self.chains).filter(|(_, chain)| !chain.is_empty()).collect()
    }
}

/// A listener on this worker: its place in the newest plan that has it.
#[derive(Debug)]
pub(crate) struct ListenerSeat {
    /// The name: its identity over reloads.
    pub(crate) name: Arc<str>,
    place: RefCell<(Rc<Plan>, ListenerId)>,
    closing: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl ListenerSeat {
    /// A listener of a plan.
    pub(crate) fn new(name: Arc<str>, plan: Rc<Plan>, id: ListenerId) -> Rc<Self> {
        Rc::new(Self {
            name,
            place: RefCell::new((plan, id)),
            closing: Cell::new(false),
            wakers: RefCell::default(),
        })
    }

    /// The plan to begin an exchange with, and this listener's place in it.
    pub(crate) fn place(&self) -> (Rc<Plan>, ListenerId) {
        let place = self.place.borrow();
        (Rc::clone(&place.0), place.1)
    }

    /// Reads what the file says of it.
    pub(crate) fn with_spec<T>(&self, read: impl FnOnce(&Listener) -> T) -> Option<T> {
        let place = self.place.borrow();
        place.0.snapshot.listeners.get(place.1.0 as usize).map(read)
    }

    /// Moves on to a new plan.
    pub(crate) fn set_place(&self, plan: Rc<Plan>, id: ListenerId) {
        *self.place.borrow_mut() = (plan, id);
    }

    /// Whether it takes no more connections and its idle ones should go.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Begins its end.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        for waker in self.wakers.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Ready once it is closing.
    pub(crate) fn poll_closing(&self, cx: &Context<'_>) -> Poll<()> {
        if self.closing.get() {
            return Poll::Ready(());
        }
        let mut wakers = self.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
