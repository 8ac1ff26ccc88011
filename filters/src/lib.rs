//! What to do to a message: one file per filter, the chain, the registry.
#![forbid(unsafe_code)]

pub mod address;
pub mod chain;
mod dispatch;
mod error;
#[cfg(test)]
mod example;
pub mod facts;
mod filter;
mod headers;
mod nearest;
mod read;
pub mod registry;
mod template;

pub use address::AddressText;
pub use chain::{Chain, ChainState, Reply, Verdict};
pub use error::FilterError;
pub use facts::{Facts, Params, Scheme};
pub use headers::is_reserved;
pub use nearest::nearest;
pub use registry::FilterConfig;
