//! The operator's log and the access log. Neither ever makes a worker wait: what does not fit is dropped and
//! counted.

pub mod access;
pub(crate) mod json;
pub mod operator;
pub mod panics;
pub(crate) mod stamp;
mod writer;

pub use operator::say;
pub use ringway_config::snapshot::Level;
