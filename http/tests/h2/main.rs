//! HTTP/2: both ends in memory, and each end against frames that are written by hand.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod exchanges;
mod frames;
mod limits;
mod requests;
mod responses;
