//! The future of exchanges is a few kilobytes, which a connection needs only while it has one: so it is lent to it.
//!
//! A runner is that future in a box. It serves one connection's exchanges, then the next one's, and never ends. The
//! connection's task hands its connection over, polls the runner as a part of itself, and takes the connection back.
//! A task that ends in between, by a panic or by the end of its worker, takes the runner along.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::{After, Connection, h1, h2};
use crate::clock::Moment;
use crate::worker::Local;

/// The free runners of a worker: so many as exchanges were under way at once.
#[derive(Default)]
pub(crate) struct Runners {
    free: RefCell<Vec<Runner>>,
}

/// At most so many are kept free.
const FREE_MAX: usize = 1024;

struct Runner {
    future: Pin<Box<dyn Future<Output = ()>>>,
    desk: Rc<Desk>,
}

/// Where a connection is handed over, both ways. While the runner has it, or there is none, nothing is here.
#[derive(Default)]
struct Desk {
    /// To be served.
    given: Cell<Option<(Box<Connection>, Job)>>,
    /// Served: what is to become of it, and when its last exchange ended.
    served: Cell<Option<Served>>,
}

/// What is to be done with a connection.
pub(super) enum Job {
    /// Its exchanges, of which the first began then, if that is known.
    Requests(Option<Moment>),
    /// It is a stream, and its request is here.
    Stream(Box<h2::Request>),
}

/// A connection after its exchanges, what is to become of it, and when the last one ended.
pub(super) type Served = (Box<Connection>, After, Moment);

/// Serves a connection's exchanges, as [`h1::busy`], or a stream's one, as [`h2::exchange`].
pub(super) async fn run(local: &Local, connection: Box<Connection>, job: Job) -> Served {
    let free = local.runners.free.borrow_mut().pop();
    let mut runner = free.unwrap_or_else(Runner::new);
    runner.desk.given.set(Some((connection, job)));
    let served = poll_fn(|cx| {
        // Pending always: it never ends.
        let _ = runner.future.as_mut().poll(cx);
        runner.desk.served.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    let mut free = local.runners.free.borrow_mut();
    if free.len() < FREE_MAX {
        free.push(runner);
    }
    served
}

impl Runner {
    fn new() -> Self {
        let desk = Rc::<Desk>::default();
        Self { future: Box::pin(work(Rc::clone(&desk))), desk }
    }
}

/// Serves what is handed in, for ever.
async fn work(desk: Rc<Desk>) {
    loop {
        // No waker is kept: whoever hands a connection in polls next.
        let (mut connection, job) = poll_fn(|_| desk.given.take().map_or(Poll::Pending, Poll::Ready)).await;
        // No `Rc` of the worker's things outlives a connection, or the two would keep each other.
        let local = Rc::clone(connection.stay.local());
        let (after, since) = match job {
            Job::Requests(began) => h1::busy(&local, &mut connection, began).await,
            Job::Stream(request) => h2::exchange(&local, &mut connection, request).await,
        };
        drop(local);
        desk.served.set(Some((connection, after, since)));
    }
}
