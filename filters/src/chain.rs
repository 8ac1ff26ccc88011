//! The chain: filters in their listed order on the request, in reverse on the response.

use std::sync::Arc;

use ringway_http::{RequestHead, ResponseHead};

use crate::facts::Facts;
use crate::registry::FilterConfig;

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
    _private: (),
}

/// How far an exchange got in its chain, and what its filters keep for it. Reused.
#[derive(Debug, Default)]
pub struct ChainState {
    _private: (),
}

impl Chain {
    /// Seats the filters of a route; seats of the previous chain (matched by name and equal config) are taken over.
    pub fn seat(_configs: &[Arc<FilterConfig>], _previous: Option<&Self>) -> Self {
        todo!()
    }
    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// Runs the request hooks in order.
    pub fn on_request_head(
        &self,
        _state: &mut ChainState,
        _head: &mut RequestHead,
        _facts: &mut Facts,
    ) -> Verdict {
        todo!()
    }
    /// Runs the response hooks in reverse, from the last filter whose request hook ran.
    pub fn on_response_head(&self, _state: &mut ChainState, _head: &mut ResponseHead, _facts: &Facts) {
        todo!()
    }
}
