//! What is measured alone: for benches.

use crate::fields::Fields;
use crate::h1::BodySize;

use super::{Outgoing, request, response};

/// Makes the library's request; how many lines it has, or none.
pub fn write_request(outgoing: &Outgoing<'_>) -> usize {
    request::write(outgoing).map_or(0, |request| request.headers().len())
}

/// Makes the library's response; how many lines it has, or none.
pub fn write_response(status: u16, fields: &Fields, size: BodySize) -> usize {
    response::write(status, fields, size).map_or(0, |(response, _)| response.headers().len())
}
