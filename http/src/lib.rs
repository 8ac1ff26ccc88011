//! What an HTTP message is: bytes in, events out. No sockets, no clock, no await.
//!
//! `fields`, `prepared`, `head` and `target` hold a parsed message head; `h1` holds the HTTP/1.1 machines that read
//! and write messages; `h2` an HTTP/2 connection in memory, whose streams read and write the same heads; `websocket`
//! follows the frames of an upgraded connection; `grpc` holds what a gateway knows of gRPC; `error` says what was
//! wrong with one.
#![forbid(unsafe_code)]

pub mod error;
pub mod fields;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod head;
pub mod prepared;
pub mod target;
pub mod websocket;

mod known;
mod octets;

pub use error::{BodyError, HeadError};
pub use fields::{Fields, InvalidField, Known};
pub use head::{Framing, Limits, Method, Persistence, RequestHead, ResponseHead, Version};
pub use prepared::{FieldLine, FieldName, LineAt, NameAt, Prepared};
