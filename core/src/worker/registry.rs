//! The open client connections of a worker, so that a drain can reach those that wait.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::plan::ListenerSeat;
use crate::net::Deadline;

/// A connection's entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The deadline that its waits on the client look at.
    pub(crate) deadline: Deadline,
    /// Whether it is between requests: then it may be closed at any time.
    pub(crate) idle: Cell<bool>,
    /// Whether not a byte has come yet: its first request may be on its way, and a close would be a reset to it.
    pub(crate) fresh: Cell<bool>,
    /// Where it came in.
    pub(crate) listener: Rc<ListenerSeat>,
}

/// All entries.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: RefCell<slab::Slab<Rc<Entry>>>,
}

/// An entry's stay in the registry; it leaves when this is dropped.
pub(crate) struct Stay {
    local: Rc<super::Local>,
    key: usize,
    /// The entry.
    pub(crate) entry: Rc<Entry>,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.local.registry.entries.borrow_mut().try_remove(self.key);
    }
}

impl Registry {
    /// Enters a connection.
    pub(crate) fn enter(local: &Rc<super::Local>, entry: Entry) -> Stay {
        let entry = Rc::new(entry);
        let key = local.registry.entries.borrow_mut().insert(Rc::clone(&entry));
        Stay { local: Rc::clone(local), key, entry }
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Ends the wait of every connection that `picks` chooses.
    pub(crate) fn wake(&self, picks: impl Fn(&Entry) -> bool) {
        for (_, entry) in self.entries.borrow().iter() {
            if picks(entry) {
                entry.deadline.set(crate::clock::Moment(0));
            }
        }
    }
}
