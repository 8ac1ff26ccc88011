//! `example`: closes one path with a 503 and counts what it turned away.
//!
//! ```toml
//! [filters.closed]
//! example = { path = "/shop" }
//! ```

use std::cell::Cell;
use std::sync::Arc;

use ringway_http::{Fields, RequestHead, ResponseHead};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::chain::{Reply, Verdict};
use crate::error::FilterError;
use crate::facts::Facts;
use crate::filter::{ExchangeState, Filter};

/// What is typed for the filter.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The path to close.
    path: Spanned<String>,
}

/// The same, checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Config {
    path: String,
}

/// The seat: the configuration, and what this worker remembers over reloads.
#[derive(Debug)]
pub(crate) struct Example {
    config: Arc<Config>,
    turned_away: Cell<u64>,
}

/// Whether this exchange was turned away, and as which one.
#[derive(Debug, Default)]
pub(crate) struct Turned(Option<u64>);

impl ExchangeState for Turned {
    fn clear(&mut self) {
        self.0 = None;
    }
}

impl Filter for Example {
    type File = File;
    type Config = Config;
    type State = Turned;

    fn check(file: File) -> Result<Config, Vec<FilterError>> {
        if !file.path.get_ref().starts_with('/') {
            return Err(vec![FilterError::new(file.path.span(), "path", "a path begins with a slash")]);
        }
        Ok(Config { path: file.path.into_inner() })
    }

    fn seat(config: &Arc<Config>) -> Self {
        Self { config: Arc::clone(config), turned_away: Cell::new(0) }
    }

    fn on_request_head(&self, turned: &mut Turned, head: &mut RequestHead, _facts: &mut Facts) -> Verdict {
        if head.path() != self.config.path {
            return Verdict::Continue;
        }
        let count = self.turned_away.get() + 1;
        self.turned_away.set(count);
        turned.0 = Some(count);
        Verdict::Answer(Box::new(Reply {
            status: 503,
            reason: "example.closed",
            message: "This path is closed".to_owned(),
            fields: Fields::new(),
        }))
    }

    fn on_response_head(&self, turned: &mut Turned, head: &mut ResponseHead, _facts: &Facts) {
        if let Some(count) = turned.0 {
            // A number is always a valid value.
            let _ = head.fields.push("X-Turned-Away", count.to_string().as_bytes());
        }
    }
}
