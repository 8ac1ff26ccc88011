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
use super::secure::{self, Secure};
use crate::net::tls::Tickets;
use crate::upstream::{Pools, Upstream};

/// A seated snapshot. An exchange keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the file says.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What its regular expressions write to on this worker.
    pub(crate) regexes: RefCell<regex::Scratch>,
    /// By `RouteId`.
    chains: Vec<Chain>,
    /// By `UpstreamId`.
    upstreams: Vec<Upstream>,
    /// By `ListenerId`.
    secure: Vec<Option<Rc<Secure>>>,
    /// The fields in which some listener tells upstreams who its clients are.
    identity_fields: Vec<Arc<str>>,
}

impl Plan {
    /// Seats a snapshot; filters and pools of the previous plan go on by identity.
    pub(crate) fn seat(
        snapshot: &Arc<Snapshot>,
        directory: &Directory,
        pools: &Pools,
        tickets: &Tickets,
        previous: Option<&Self>,
    ) -> Self {
        let before = previous.map(Self::chains_by_name).unwrap_or_default();
        let chains = snapshot
            .routes
            .all()
            .iter()
            .map(|route| Chain::seat(&route.filters, before.get(&*route.name).copied()))
            .collect();
        let upstreams = (0..snapshot.upstreams.len())
            .filter_map(|index| {
                let id = UpstreamId(u32::try_from(index).ok()?);
                let members = directory.get(index).map_or(&[][..], |members| members);
                Upstream::seat(snapshot, id, members, pools)
            })
            .collect();
        let secure = snapshot
            .listeners
            .iter()
            .map(|spec| {
                let kept = previous.and_then(|plan| plan.secure_like(spec));
                kept.or_else(|| secure::listener(spec, tickets).map(Rc::new))
            })
            .collect();
        let fields = snapshot.listeners.iter().filter_map(|spec| {
            let auth = spec.tls.as_ref()?.client_auth.as_ref()?;
            auth.header.clone()
        });
        let mut identity_fields: Vec<_> = fields.collect();
        identity_fields.sort_unstable();
        identity_fields.dedup();
        Self {
            snapshot: Arc::clone(snapshot),
            regexes: RefCell::default(),
            chains,
            upstreams,
            secure,
            identity_fields,
        }
    }

    /// What a listener speaks TLS with, if it does.
    pub(crate) fn secure(&self, id: ListenerId) -> Option<Rc<Secure>> {
        self.secure.get(id.0 as usize)?.clone()
    }

    /// The fields in which some listener tells upstreams who its clients are.
    pub(crate) fn identity_fields(&self) -> &[Arc<str>] {
        &self.identity_fields
    }

    /// What a listener of that name speaks TLS with, if nothing of it differs.
    fn secure_like(&self, spec: &Listener) -> Option<Rc<Secure>> {
        let tls = spec.tls.as_ref()?;
        let listeners = self.snapshot.listeners.iter().zip(&self.secure);
        let (_, kept) =
            listeners.into_iter().find(|(old, _)| old.name == spec.name && old.http2 == spec.http2)?;
        kept.as_ref().filter(|secure| secure.tls.fingerprint == tls.fingerprint).cloned()
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
    pub(crate) fn chain(&self, id: RouteId) -> Option<&Chain> {
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

    fn chains_by_name(&self) -> std::collections::HashMap<&str, &Chain> {
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
    ending: Ending,
}

impl ListenerSeat {
    /// A listener of a plan.
    pub(crate) fn new(name: Arc<str>, plan: Rc<Plan>, id: ListenerId) -> Rc<Self> {
        Rc::new(Self { name, place: RefCell::new((plan, id)), ending: Ending::default() })
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
        self.ending.begun.get()
    }

    /// Begins its end.
    pub(crate) fn close(&self) {
        self.ending.begin();
    }

    /// Ready once it is closing; see [`Ending::poll`].
    pub(crate) fn poll_closing(&self, place: &mut Option<usize>, cx: &Context<'_>) -> Poll<()> {
        self.ending.poll(place, cx)
    }
}

/// The end of a listener, and the tasks that wait for it.
#[derive(Debug, Default)]
struct Ending {
    begun: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Ending {
    fn begin(&self) {
        self.begun.set(true);
        for waker in self.wakers.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Ready once it has begun. `place` is where the waiting task's waker is kept; `None` at first.
    ///
    /// The place is the task's own because wakers cannot be told apart: `will_wake` may deny that two of one task are
    /// the same, by where the compiler has put their tables, and a list of all that differ would grow for ever.
    fn poll(&self, place: &mut Option<usize>, cx: &Context<'_>) -> Poll<()> {
        if self.begun.get() {
            return Poll::Ready(());
        }
        let mut wakers = self.wakers.borrow_mut();
        if let Some(known) = place.and_then(|at| wakers.get_mut(at)) {
            known.clone_from(cx.waker());
        } else {
            *place = Some(wakers.len());
            wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    /// A waker that differs from all others.
    #[derive(Default)]
    struct Other(AtomicU32);

    impl Wake for Other {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_whose_wakers_never_look_the_same_is_kept_once() {
        let (ending, mut place, mut another) = (Ending::default(), None, None);
        let mut last = Arc::new(Other::default());
        for _ in 0..100 {
            last = Arc::new(Other::default());
            let waker = Waker::from(Arc::clone(&last));
            assert!(ending.poll(&mut place, &Context::from_waker(&waker)).is_pending());
        }
        assert!(ending.poll(&mut another, &Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(ending.wakers.borrow().len(), 2);
        ending.begin();
        assert_eq!(last.0.load(Ordering::Relaxed), 1);
        assert!(ending.poll(&mut place, &Context::from_waker(Waker::noop())).is_ready());
    }
}
