//! What is wrong with a filter's configuration, as the config room needs it to point into the file.

use std::ops::Range;

/// One thing wrong with a filter's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// Bytes of the file that are meant; `0..0` if the value was not read from one.
    pub span: Range<usize>,
    /// The dotted key below the filter's own, such as `request.set.Connection`; empty for the value itself.
    pub key: String,
    /// What is wrong, what was expected, and the fix.
    pub message: String,
}

impl FilterError {
    /// An error at a place in the file.
    pub fn new(span: Range<usize>, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { span, key: key.into(), message: message.into() }
    }
}
