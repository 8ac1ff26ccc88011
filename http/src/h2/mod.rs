//! HTTP/2 (RFC 9113) without IO: the `h2` crate on an in-memory duplex. Bytes are fed and taken, streams read and
//! write the same heads as HTTP/1.1, and nothing here reads a socket or a clock.
//!
//! `server` and `client` are the two ends of a connection; `stream` is what one stream sends and receives; `limits`
//! counts the frames that come in; `request`, `response` and `fields` translate heads; `mem` is the duplex.
//!
//! A connection is driven by whoever owns it: feed, poll, take the output, and again after each of them has changed
//! something. A poll does not register anybody for more input or for room in the output, for only the owner can
//! bring them; it does for what streams do on their own.

mod client;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod limits;
#[doc(hidden)]
pub mod measured;
mod mem;
mod request;
mod response;
mod server;
mod settings;
mod stream;

pub use ::h2::Reason;
pub use bytes::{Buf, Bytes};
pub use client::{Client, Requests, Response};
pub use limits::{Flood, GuardLimits};
pub use request::{Outgoing, Scheme};
pub use server::{Incoming, Respond, Server};
pub use settings::Settings;
pub use stream::{Body, ConnectionError, Outbound, StreamError};
