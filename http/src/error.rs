//! What was wrong with a message. Every variant has a reason word and the status that answers it.

/// A head that is refused. A request gets [`HeadError::status`]; a response becomes a 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Not HTTP/1.x at all, or a malformed line.
    #[error("malformed message head")]
    Malformed,
}

impl HeadError {
    /// The status that a gateway answers with (400, 413, 414, 431, 501, 505).
    pub fn status(self) -> u16 {
        todo!()
    }

    /// The reason word, such as `request.field.name` or `request.framing.both`.
    pub fn reason(self) -> &'static str {
        todo!()
    }
}

/// A body that is refused, or that ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The peer closed before the body was complete.
    #[error("the body ended early")]
    Truncated,
}

impl BodyError {
    /// The reason word, such as `body.truncated` or `body.chunk.size`.
    pub fn reason(self) -> &'static str {
        todo!()
    }
}
