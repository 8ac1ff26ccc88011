//! The two small servers of control: metrics and admin, each absent unless the configuration has its section.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use ringway_config::Snapshot;
use ringway_config::snapshot::Address;

use super::serve::{Pages, Reply, Server, Tools};
use super::sockets::why_not;
use super::state::Control;
use crate::log::{Level, say};
use crate::net::{self, BoundListener, Sharing};

/// The servers of one snapshot. A server whose address stays goes on; one that is no longer in any `Served`
/// closes.
#[derive(Debug, Clone, Default)]
pub(super) struct Served {
    metrics: Option<Rc<Place>>,
    admin: Option<Rc<Place>>,
}

/// One server: bound, then running.
#[derive(Debug)]
struct Place {
    wanted: SocketAddr,
    /// With the real port.
    local: SocketAddr,
    bound: RefCell<Option<BoundListener>>,
    running: RefCell<Option<Server>>,
}

impl Served {
    /// Binds what a snapshot wants and `now` does not have.
    pub(super) fn bind(snapshot: &Snapshot, now: &Self) -> Result<Self, String> {
        let metrics = Place::keep_or_bind("metrics", snapshot.metrics, now.metrics.as_ref())?;
        let admin = Place::keep_or_bind("admin", snapshot.admin, now.admin.as_ref())?;
        Ok(Self { metrics, admin })
    }

    /// Where metrics and admin answer.
    pub(super) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let local = |place: &Option<Rc<Place>>| place.as_ref().map(|place| place.local);
        (local(&self.metrics), local(&self.admin))
    }
}

impl Place {
    fn keep_or_bind(
        whose: &str,
        wanted: Option<SocketAddr>,
        now: Option<&Rc<Self>>,
    ) -> Result<Option<Rc<Self>>, String> {
        let Some(wanted) = wanted else { return Ok(None) };
        if let Some(now) = now.filter(|now| now.wanted == wanted) {
            return Ok(Some(Rc::clone(now)));
        }
        let address = Address::Socket(wanted);
        let bound =
            net::bind(&address, 1, Sharing::Refuse).map_err(|error| why_not(whose, &address, &error))?.pop();
        let local = bound.as_ref().and_then(BoundListener::local).unwrap_or(wanted);
        Ok(Some(Rc::new(Self { wanted, local, bound: RefCell::new(bound), running: RefCell::default() })))
    }

    fn start(&self, pages: Pages, tools: Tools) {
        let Some(bound) = self.bound.borrow_mut().take() else { return };
        match bound.seat() {
            Ok(acceptor) => *self.running.borrow_mut() = Some(Server::start(acceptor, pages, tools)),
            Err(error) => say(
                Level::Error,
                "control.serve",
                "a control page cannot be served",
                &[("address", &self.local), ("error", &error)],
            ),
        }
    }
}

impl Control {
    /// Starts the servers that are bound and do not run yet.
    pub(super) fn serve_pages(self: &Rc<Self>) {
        let served = self.live.borrow().served.clone();
        let tools = Tools {
            clock: self.clock.clone(),
            timers: Rc::clone(&self.timers),
            buffers: Rc::clone(&self.buffers),
        };
        if let Some(place) = &served.metrics {
            place.start(self.pages(Self::metrics_page), tools.clone());
        }
        if let Some(place) = &served.admin {
            place.start(self.pages(Self::admin_page), tools);
        }
    }

    fn pages(self: &Rc<Self>, page: fn(&Self, &str) -> Reply) -> Pages {
        let control = Rc::downgrade(self);
        Rc::new(move |path| match control.upgrade() {
            Some(control) => page(&control, path),
            None => Reply::text(503, "ending\n"),
        })
    }
}
