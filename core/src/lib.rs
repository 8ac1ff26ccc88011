//! Ringway's core: workers, listeners, pools, the request path and control. The binary is a few lines over this.

pub mod cli;
pub mod clock;
pub mod control;
pub mod demo;
pub mod downstream;
pub mod error;
pub mod exchange;
pub mod log;
#[doc(hidden)]
pub mod measured;
pub mod net;
pub mod shard;
pub mod upstream;
mod wire;
pub mod worker;
