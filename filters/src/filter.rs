//! What a filter is: its configuration, its seat on a worker, its state for one exchange, and its hooks.

use std::fmt::Debug;
use std::sync::Arc;

use ringway_http::{RequestHead, ResponseHead};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chain::Verdict;
use crate::error::FilterError;
use crate::facts::Facts;

/// One filter. A value of the implementing type is its seat: what one worker keeps for one configured filter. Old and
/// new plans share it, so what must change while requests run is in a `Cell`. Dispatch is static, by the registry.
pub(crate) trait Filter: Debug + Sized {
    /// What an operator types (`deny_unknown_fields`).
    type File: DeserializeOwned + Serialize;
    /// The same, checked and compiled; shared by all workers and read-only.
    type Config: Debug + PartialEq + Send + Sync;
    /// What one exchange needs of this filter.
    type State: ExchangeState;

    /// Checks what was typed; all that is wrong with it, if anything.
    fn check(file: Self::File) -> Result<Self::Config, Vec<FilterError>>;

    /// The route parameters that the configuration names.
    fn params(_config: &Self::Config) -> Vec<&str> {
        Vec::new()
    }

    /// Takes a seat. Not called on a reload that leaves the configuration as it was.
    fn seat(config: &Arc<Self::Config>) -> Self;

    /// Looks at, changes or answers a request.
    fn on_request_head(
        &self,
        _state: &mut Self::State,
        _head: &mut RequestHead,
        _facts: &mut Facts,
    ) -> Verdict {
        Verdict::Continue
    }

    /// Looks at or changes a response: the upstream's, the gateway's own, or that of a filter (this one included).
    fn on_response_head(&self, _state: &mut Self::State, _head: &mut ResponseHead, _facts: &Facts) {}
}

/// What an exchange keeps for a filter, reused from exchange to exchange.
pub(crate) trait ExchangeState: Debug + Default {
    /// Forgets the exchange and keeps the memory. Called before the request hook.
    fn clear(&mut self);
}

/// For filters that keep nothing.
impl ExchangeState for () {
    fn clear(&mut self) {}
}
