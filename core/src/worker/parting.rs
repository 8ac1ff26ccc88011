//! The tunnels of a worker whose protocol has a way to say goodbye: a drain reaches them here.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Local;

/// Whether it is time to go, and who is to be told.
#[derive(Debug, Default)]
pub(crate) struct Parting {
    is_due: Cell<bool>,
    /// A tunnel's waker, from its first poll on.
    tunnels: RefCell<slab::Slab<Option<Waker>>>,
}

impl Parting {
    /// It is time, for those that are here and for those that still come.
    pub(crate) fn begin(&self) {
        self.is_due.set(true);
        let wakers: Vec<_> =
            self.tunnels.borrow_mut().iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        for waker in wakers {
            waker.wake();
        }
    }
}

/// A tunnel's place among them; it leaves when this is dropped.
pub(crate) struct Guest {
    local: Rc<Local>,
    key: usize,
}

impl Guest {
    /// Enters a tunnel.
    pub(crate) fn enter(local: &Rc<Local>) -> Self {
        let key = local.parting.tunnels.borrow_mut().insert(None);
        Self { local: Rc::clone(local), key }
    }

    /// Ready once it is time to go; wakes the task then.
    pub(crate) fn poll_due(&self, cx: &Context<'_>) -> Poll<()> {
        if self.local.parting.is_due.get() {
            return Poll::Ready(());
        }
        if let Some(waker) = self.local.parting.tunnels.borrow_mut().get_mut(self.key)
            && !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.local.parting.tunnels.borrow_mut().try_remove(self.key);
    }
}
