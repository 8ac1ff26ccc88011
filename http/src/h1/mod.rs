//! HTTP/1.1 machines over httparse: a request reader and a response writer for the client's side, a request
//! writer and a response reader for the upstream's side. They are fed bytes and never wait.
//!
//! `head` finds a head in its input and has it parsed: `line` reads start lines, `parse` field lines, and
//! `framing` decides what they mean together. `decode` and `encode` are the bodies and the writers; `status`
//! has the reason phrases.

mod decode;
mod encode;
mod extension;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod line;
mod parse;
mod status;

pub use decode::{BodyEvent, BodyReader, BodyStep, CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX};
pub use encode::{BodySize, BodyWriter, write_interim, write_request, write_response};
pub use framing::CONNECTION_OPTIONS_MAX;
pub(crate) use framing::{expects_continue, length};
pub use head::{HeadReader, LEADING_EMPTY_LINES_MAX};
pub use line::METHOD_BYTES_MAX;
pub use status::reason_phrase;
