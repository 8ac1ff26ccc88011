//! One coarse deadline per connection, moved and not re-armed: setting it is a store.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::Moment;

/// This thread's timer wheel. Resolution about 10 ms; a deadline is never early.
#[derive(Debug)]
pub struct Timers {
    _private: (),
}

impl Timers {
    /// A wheel, with its ticking task spawned on this thread's runtime.
    pub fn start() -> Rc<Self> {
        todo!()
    }
    /// A deadline that is not set.
    pub fn deadline(self: &Rc<Self>) -> Deadline {
        todo!()
    }
}

/// A moment after which waits end with [`NetError::TimedOut`](super::NetError).
#[derive(Debug)]
pub struct Deadline {
    _private: (),
}

impl Deadline {
    /// Moves it.
    pub fn set(&self, _at: Moment) {
        todo!()
    }
    /// Never.
    pub fn clear(&self) {
        todo!()
    }
    /// The moment, if set.
    pub fn at(&self) -> Option<Moment> {
        todo!()
    }
    /// Ready once it has passed; wakes the task then.
    pub fn poll_expired(&self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }
}

/// Waits. For control and helpers; the request path uses deadlines.
pub async fn sleep(_duration: Duration) {
    todo!()
}
