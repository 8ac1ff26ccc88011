//! One pinned thread and all that it owns.

pub mod inbox;
pub mod pin;
