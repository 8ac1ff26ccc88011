//! What one exchange needs in memory, recycled: idle connections hold none of it, and exchanges in the steady state
//! allocate nothing.

use std::cell::RefCell;
use std::rc::Rc;

use ringway_filters::{ChainState, Facts};
use ringway_http::{Fields, RequestHead, ResponseHead};

use crate::net::{Deadline, Timers};

/// One exchange's memory.
pub(crate) struct Scratch {
    /// The request's head.
    pub(crate) request: RequestHead,
    /// The response's head.
    pub(crate) response: ResponseHead,
    /// What is known.
    pub(crate) facts: Facts,
    /// The filters' place.
    pub(crate) chain: ChainState,
    /// The upstream's path and query.
    pub(crate) path: String,
    /// The `Upgrade` that the client asked for.
    pub(crate) upgrade: Vec<u8>,
    /// The `Allow` value, the `Host` for an endpoint, and other short-lived text.
    pub(crate) text: String,
    /// Fields of answers that the gateway makes.
    pub(crate) fields: Fields,
    /// For sending to the client.
    pub(crate) write_deadline: Deadline,
}

/// The free ones.
#[derive(Default)]
pub(crate) struct Scratches {
    #[expect(clippy::vec_box, reason = "a scratch is large and handed about by its box")]
    free: RefCell<Vec<Box<Scratch>>>,
}

/// At most so many are kept free.
const FREE_MAX: usize = 1024;
/// A scratch that grew beyond this, by an uncommon head, is not kept.
const BYTES_MAX: usize = 32 * 1024;

impl Scratches {
    /// A free one, or a new one.
    pub(crate) fn take(&self, timers: &Rc<Timers>) -> Box<Scratch> {
        if let Some(scratch) = self.free.borrow_mut().pop() {
            return scratch;
        }
        Box::new(Scratch {
            request: RequestHead::new(),
            response: ResponseHead::new(),
            facts: Facts::default(),
            chain: ChainState::default(),
            path: String::new(),
            upgrade: Vec::new(),
            text: String::new(),
            fields: Fields::new(),
            write_deadline: timers.deadline(),
        })
    }

    /// Takes one back.
    pub(crate) fn give(&self, mut scratch: Box<Scratch>) {
        scratch.facts.clear();
        scratch.path.clear();
        scratch.upgrade.clear();
        scratch.text.clear();
        scratch.fields.clear();
        scratch.write_deadline.clear();
        let mut free = self.free.borrow_mut();
        let texts = [&scratch.path, &scratch.text, &scratch.facts.host, &scratch.facts.request_id];
        let fields = [&scratch.request.fields, &scratch.response.fields, &scratch.fields];
        let held = texts.iter().map(|text| text.capacity()).sum::<usize>()
            + fields.iter().map(|fields| fields.memory_bytes()).sum::<usize>();
        if free.len() < FREE_MAX && held <= BYTES_MAX {
            free.push(scratch);
        }
    }
}
