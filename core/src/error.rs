//! What went wrong in an exchange: what, whose side, and whether it may be tried again.

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Downstream,
    /// The upstream's.
    Upstream,
    /// Our own, or the operator's wish.
    Local,
}

/// May it be tried again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// Yes: nothing of the request can have been acted upon.
    Safe,
    /// If the connection was reused and the request may be sent twice.
    IfReused,
}
