//! Steps of the request path that are nobody's business outside core, held out to the benches. Not an interface.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ringway_filters::Facts;
use ringway_http::RequestHead;

use crate::downstream::forwarded;
use crate::exchange::request_id::RequestIds;
use crate::net::SocketAddress;
use crate::shard::{Shard, Writer};
use crate::upstream::{Pools, Seat, Terms, Turn, pick};
use crate::worker::inbox::Member;

/// An upstream's members on one worker, all of them healthy.
#[derive(Debug)]
pub struct Members {
    seats: Vec<Rc<Seat>>,
}

impl Members {
    /// One of each weight.
    pub fn new(weights: &[u32]) -> Self {
        let pools = Pools::new(Rc::new(Writer::new(Shard::new(16))));
        let name: Arc<str> = "measured".into();
        let seat = |(port, &weight): (u16, &u32)| {
            let address = SocketAddress::Tcp(([127, 0, 0, 1], port).into());
            let (endpoint, host) = (Arc::from(port.to_string()), Arc::from("measured"));
            let member = Member { endpoint, metric: 0, address, host, weight, healthy: true };
            let pool = pools.pool(&name, &member, Terms::LEAST, None);
            Rc::new(Seat { member, pool, turn: Turn::default() })
        };
        Self { seats: (1..).zip(weights).map(seat).collect() }
    }

    /// Whose turn it is: the weight of that one.
    pub fn pick(&self) -> Option<u32> {
        pick(&self.seats, |seat| seat.member.healthy).map(|seat| seat.member.weight)
    }
}

/// What makes request ids.
#[derive(Debug)]
pub struct Ids(RequestIds);

impl Default for Ids {
    fn default() -> Self {
        Self(RequestIds::new())
    }
}

impl Ids {
    /// Appends one.
    pub fn append(&self, out: &mut String) {
        self.0.append(out);
    }
}

/// Sets what an upstream is told about a client that connects without a proxy.
pub fn tell_upstream(head: &mut RequestHead, facts: &Facts, peer: IpAddr, text: &mut String) {
    forwarded::apply(head, facts, peer, false, text);
}
