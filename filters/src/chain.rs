//! The chain: filters in their listed order on the request, in reverse on the response.

use std::sync::Arc;

use ringway_http::{RequestHead, ResponseHead};

use crate::facts::Facts;
use crate::registry::{FilterConfig, Seated, Slots, States};

/// An answer that a filter gives in the upstream's stead.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The reason word, which is also the error's `code`.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Further fields.
    pub fields: ringway_http::Fields,
}

/// What a request hook decided.
#[derive(Debug)]
pub enum Verdict {
    /// Go on with the next filter.
    Continue,
    /// Answer now; the response phase runs from this filter backwards.
    Answer(Box<Reply>),
}

/// The worker-local half of a route's filters: their seats.
#[derive(Debug, Default)]
pub struct Chain {
    /// In the listed order.
    links: Vec<Link>,
}

/// A filter in a chain.
#[derive(Debug)]
struct Link {
    config: Arc<FilterConfig>,
    seated: Seated,
}

/// How far an exchange got in its chain, and what its filters keep for it. Reused.
#[derive(Debug, Default)]
pub struct ChainState {
    /// Filters whose request hook has run, the one that answered included; at most the chain's length.
    ran: usize,
    states: States,
}

impl ChainState {
    /// Forgets the exchange and keeps the memory. For an exchange that may fail before its request hooks run.
    pub fn clear(&mut self) {
        self.ran = 0;
    }
}

impl Chain {
    /// Seats the filters of a route; seats of the previous chain (matched by name and equal config) are taken over.
    pub fn seat(configs: &[Arc<FilterConfig>], previous: Option<&Self>) -> Self {
        let mut slots = Slots::default();
        let before = previous.map_or(&[][..], |chain| &chain.links);
        let link = |config: &Arc<FilterConfig>| {
            let same = before.iter().find(|link| link.config.is_same_as(config)).map(|link| &link.seated);
            Link { config: Arc::clone(config), seated: Seated::new(&config.settings, same, &mut slots) }
        };
        Self { links: configs.iter().map(link).collect() }
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Runs the request hooks in order.
    pub fn on_request_head(
        &self,
        state: &mut ChainState,
        head: &mut RequestHead,
        facts: &mut Facts,
    ) -> Verdict {
        state.ran = 0;
        for link in &self.links {
            state.ran += 1;
            match link.seated.on_request_head(&mut state.states, head, facts) {
                Verdict::Continue => {}
                answer @ Verdict::Answer(_) => return answer,
            }
        }
        Verdict::Continue
    }

    /// Runs the response hooks in reverse, from the last filter whose request hook ran.
    pub fn on_response_head(&self, state: &mut ChainState, head: &mut ResponseHead, facts: &Facts) {
        for link in self.links.iter().take(state.ran).rev() {
            link.seated.on_response_head(&mut state.states, head, facts);
        }
    }
}
