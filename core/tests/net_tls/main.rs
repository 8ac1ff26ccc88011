//! TLS over the real drivers: what is lost, what is late, what is believed.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by failing"
)]

mod handshakes;
mod openssl;
mod ours;
mod rustls_peer;
mod support;
