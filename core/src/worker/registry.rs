//! The open client connections of a worker, so that a drain can reach those that wait.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::plan::ListenerSeat;
use crate::clock::Moment;
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
    /// Whether it carries streams, or is one.
    pub(crate) carries: Cell<Carries>,
    /// When its last answer ended, if one has.
    pub(crate) rested: Cell<Moment>,
    /// Where it came in.
    pub(crate) listener: Rc<ListenerSeat>,
}

/// What an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Carries {
    /// A connection with one exchange at a time.
    #[default]
    One,
    /// A connection of many streams, each of which has an entry of its own.
    Many,
    /// The same, whose client has been told to open no more.
    ManyLast,
    /// A stream.
    Stream,
}

/// A client whose last answer left the connection open may be sending its next request already, and a close would
/// reset it: so long it is still taken, and answered with `Connection: close`.
const LAST_REQUEST_GRACE: Duration = Duration::from_millis(500);

impl Entry {
    /// Until when a connection that is to go takes another request.
    pub(crate) fn grace_until(&self) -> Moment {
        match self.rested.get() {
            Moment(0) => Moment(0),
            rested => rested.after(LAST_REQUEST_GRACE),
        }
    }
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

impl Stay {
    /// The worker's things.
    pub(crate) fn local(&self) -> &Rc<super::Local> {
        &self.local
    }
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

    /// Ends the wait for a next request of every connection that `picks` chooses, each after its grace.
    pub(crate) fn release(&self, picks: impl Fn(&Entry) -> bool) {
        for (_, entry) in self.entries.borrow().iter() {
            let until = entry.grace_until();
            if picks(entry) && entry.deadline.at().is_none_or(|at| until < at) {
                entry.deadline.set(until);
            }
        }
    }

    /// Has every connection of many streams that `picks` chooses look whether its client has to be told to go.
    pub(crate) fn tell(&self, picks: impl Fn(&Entry) -> bool) {
        self.wake(|entry| entry.carries.get() == Carries::Many && picks(entry));
    }

    /// Connections, without the streams that they carry.
    pub(crate) fn connections(&self) -> usize {
        let entries = self.entries.borrow();
        entries.iter().filter(|(_, entry)| entry.carries.get() != Carries::Stream).count()
    }

    /// Ends the wait of every connection that `picks` chooses, now.
    pub(crate) fn wake(&self, picks: impl Fn(&Entry) -> bool) {
        for (_, entry) in self.entries.borrow().iter() {
            if picks(entry) {
                entry.deadline.set(Moment(0));
            }
        }
    }
}
