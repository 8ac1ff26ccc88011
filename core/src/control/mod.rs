//! The one control thread: it starts workers and tells them things, reloads, checks health, resolves names,
//! serves metrics and admin pages, and ends the process. All that is slow, fallible or shared is done here,
//! and none of it on the request path.

mod admin;
mod ask;
mod directory;
mod drain;
pub mod engine;
mod health;
mod labels;
mod metrics;
mod outbox;
mod pages;
mod probe;
mod process;
mod prometheus;
mod reload;
mod resolve;
mod serve;
mod sockets;
mod start;
mod state;
mod tickets;
mod watch;

pub use engine::{EngineError, Options, Ready, Source, run};
