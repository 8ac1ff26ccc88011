//! HTTP/2, as much of it as a load and an origin need that are to be cheap: fixed blocks of fields, no table, frames in
//! one write for all that a turn has to send.

pub(crate) mod frame;
mod load;
mod message;
mod served;
mod session;

pub(crate) use load::Load;
pub(crate) use message::{Message, payload};
pub(crate) use served::Served;
