//! Field lines. httparse finds names and values; what it would let pass is refused before it looks (bare LF,
//! by the line scan) or by its defaults (folding, white space around names), and what it refuses is named
//! here.

use httparse::{EMPTY_HEADER, Header, Status};

use crate::error::HeadError;
use crate::fields::Fields;
use crate::head::Limits;
use crate::octets::{is_token, is_value};

/// Fields that most heads stay under.
const FEW: usize = 24;
/// Fields that heads within the default limit stay under.
const MANY: usize = 128;

/// Appends the fields of a block of `count` lines, all ending in CRLF, and a final empty line.
pub(super) fn fields(block: &[u8], count: usize, fields: &mut Fields) -> Result<(), HeadError> {
    if count <= FEW {
        tokenise(block, &mut [EMPTY_HEADER; FEW], fields)
    } else if count <= MANY {
        tokenise(block, &mut [EMPTY_HEADER; MANY], fields)
    } else {
        // Only where the limit was raised above its default, and then only for a head that makes use of it.
        tokenise(block, &mut vec![EMPTY_HEADER; count], fields)
    }
}

/// Appends the fields of a head whose field lines begin here: how many bytes they take with the final empty line.
/// `None`: they are not all here, or too many, or one of them is wrong.
pub(super) fn whole(input: &[u8], limits: &Limits, fields: &mut Fields) -> Option<usize> {
    let mut space = [EMPTY_HEADER; FEW];
    let Ok(Status::Complete((consumed, headers))) = httparse::parse_headers(input, &mut space) else {
        return None;
    };
    // Bare LFs pass httparse, and are found here: each line, and the empty one, must end in CRLF.
    let block = input.get(..consumed)?.strip_suffix(b"\r\n")?;
    if headers.len() > limits.fields_max {
        return None;
    }
    let headers = headers.iter().map(|header| (header.name, header.value));
    fields.push_block(block, headers).ok()?;
    Some(consumed)
}

fn tokenise<'a>(block: &'a [u8], space: &mut [Header<'a>], fields: &mut Fields) -> Result<(), HeadError> {
    match httparse::parse_headers(block, space) {
        Ok(Status::Complete((consumed, headers))) if consumed == block.len() => {
            let lines = block.strip_suffix(b"\r\n").unwrap_or(block);
            let headers = headers.iter().map(|header| (header.name, header.value));
            fields.push_block(lines, headers).map_err(|_| HeadError::HeadLength)
        }
        Ok(Status::Complete(_) | Status::Partial) | Err(_) => Err(explain(block)),
    }
}

/// What is wrong with the first line that is not a field line (RFC 9112, 5).
fn explain(block: &[u8]) -> HeadError {
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\r\n") else { return HeadError::LineEnd };
        if line.is_empty() {
            break;
        }
        if let Some(error) = explain_line(line) {
            return error;
        }
    }
    HeadError::FieldValue
}

fn explain_line(line: &[u8]) -> Option<HeadError> {
    if let [b' ' | b'\t', ..] = line {
        return Some(HeadError::FieldFold);
    }
    if memchr::memchr(b'\r', line).is_some() {
        return Some(HeadError::LineEnd);
    }
    let Some((name, value)) = memchr::memchr(b':', line).and_then(|colon| line.split_at_checked(colon))
    else {
        return Some(HeadError::FieldName);
    };
    match name {
        [.., b' ' | b'\t'] => Some(HeadError::FieldSpace),
        name if !is_token(name) => Some(HeadError::FieldName),
        _ if !is_value(value) => Some(HeadError::FieldValue),
        _ => None,
    }
}
