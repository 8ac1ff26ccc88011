//! What to do to a message: one file per filter, the chain, the registry.
#![forbid(unsafe_code)]

pub mod chain;
pub mod facts;
pub mod registry;

pub use chain::{Chain, ChainState, Reply, Verdict};
pub use facts::{Facts, Params, Scheme};
