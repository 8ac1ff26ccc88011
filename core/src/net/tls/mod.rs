//! TLS on the halves of a connection.
//!
//! [`accept`] and [`connect`] make the handshake; from then on both halves share a session, and what they promise holds
//! for plaintext. Ciphertext never leaves this folder. rustls works on our buffers (its unbuffered interface) and does
//! no IO; records are decrypted where they were received, and encrypted into buffers of the pool.

mod engine;
mod handshake;
mod hello;
mod pace;
mod receive;
mod send;
mod session;
mod tickets;

pub use handshake::{Alpn, Negotiated, Protocol, TlsError, accept, connect};
pub use hello::{Hello, record_hellos};
pub(super) use send::{Shared, broken, send_now};
pub(super) use session::Session;
pub use tickets::{KEY_BYTES, KeyRing, TicketKey, Tickets};
