//! Bodies as they arrive: where their data lies in the input, and where they end (RFC 9112, 6.3 and 7.1).

use std::ops::Range;

use crate::error::BodyError;
use crate::fields::Fields;
use crate::head::{Framing, Limits};

use super::extension::Extension;
use super::parse;

/// Bytes of a chunk size line, extensions included, its CRLF not.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Bytes of chunk extensions in a whole body. Without it, a byte of data could cost a line of extensions
/// each.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 16 * 1024;

/// Hexadecimal digits of a chunk size: what fits 64 bits, zeros in front included.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;

/// What became of one look at the input of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEvent {
    /// Body bytes: this range of the input given. Framing around it is in `consumed`.
    Data(Range<usize>),
    /// The input holds nothing further; feed more after dropping `consumed`.
    More,
    /// The body is complete; trailers can be read.
    End,
}

/// One step of a body: how much of the input is done with, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyStep {
    /// Bytes of the input that may be dropped once the event has been used.
    pub consumed: usize,
    /// What it was.
    pub event: BodyEvent,
}

/// Reads a body by its framing. Cloning one and feeding it the same bytes again gives the same events.
///
/// With [`BodyEvent::More`] all of the input is consumed, always: what has to be remembered is remembered
/// here.
#[derive(Debug, Clone)]
pub struct BodyReader {
    state: State,
    /// Bytes of extensions so far. At most [`CHUNK_EXTENSION_BYTES_MAX`].
    extension_bytes: usize,
    trailer_bytes_max: usize,
    trailer_fields_max: usize,
    /// The trailer section so far, if there is more to it than its final empty line.
    section: Vec<u8>,
    trailers: Fields,
}

/// Where in the body the next byte stands.
#[derive(Debug, Clone, Copy)]
enum State {
    Done,
    /// So many bytes are still to come. Never zero.
    Length(u64),
    UntilClose,
    /// So many bytes of this chunk are still to come. Never zero.
    Data(u64),
    Between(Between),
    /// Inside a trailer section whose unfinished line begins at `line_start`, after `lines` others.
    Trailer {
        line_start: usize,
        lines: usize,
    },
    Failed(BodyError),
}

/// Where in the framing between chunks the next byte stands.
///
/// ```text
/// Size -> (Extension ->) SizeEnd -> data -> DataEnd -> DataLf -> Size
///                            \-> (size 0) SectionStart -> SectionLf -> done
///                                              \-> trailer lines --> done
/// ```
#[derive(Debug, Clone, Copy)]
enum Between {
    /// Inside a chunk size.
    Size { size: u64, digits: u8 },
    /// Inside the extensions; `line` bytes of the line are read.
    Extension { size: u64, line: usize, place: Extension },
    /// The LF of a size line.
    SizeEnd(u64),
    /// The CR after the data.
    DataEnd,
    /// The LF after the data.
    DataLf,
    /// The first byte after the last chunk.
    SectionStart,
    /// The LF of an empty trailer section.
    SectionLf,
}

impl BodyReader {
    /// A reader for a body of this framing. Trailers are held to `limits`.
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        Self {
            state: State::first(framing),
            extension_bytes: 0,
            trailer_bytes_max: limits.head_bytes_max,
            trailer_fields_max: limits.fields_max,
            section: Vec::new(),
            trailers: Fields::new(),
        }
    }

    /// Makes this the reader of another body and keeps its memory.
    pub fn reset(&mut self, framing: Framing, limits: &Limits) {
        self.state = State::first(framing);
        self.extension_bytes = 0;
        self.trailer_bytes_max = limits.head_bytes_max;
        self.trailer_fields_max = limits.fields_max;
        self.section.clear();
        self.trailers.clear();
    }

    /// Takes one step over the input.
    pub fn step(&mut self, input: &[u8]) -> Result<BodyStep, BodyError> {
        self.try_step(input).inspect_err(|error| self.state = State::Failed(*error))
    }

    /// Says that no input will follow: fine for a complete body or one framed by the close, otherwise
    /// [`BodyError::Truncated`].
    pub fn end_of_input(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            State::Length(_) | State::Data(_) | State::Between(_) | State::Trailer { .. } => {
                self.state = State::Failed(BodyError::Truncated);
                Err(BodyError::Truncated)
            }
        }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of the body still to come, if known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            State::UntilClose
            | State::Data(_)
            | State::Between(_)
            | State::Trailer { .. }
            | State::Failed(_) => None,
        }
    }

    /// The trailer fields, once complete; empty for other framings. Fields that must not be in trailers are
    /// left out (RFC 9110, 6.5.1).
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    fn try_step(&mut self, input: &[u8]) -> Result<BodyStep, BodyError> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(BodyStep { consumed, event: BodyEvent::End }),
                State::Failed(error) => return Err(error),
                _ if rest.is_empty() => return Ok(BodyStep { consumed, event: BodyEvent::More }),
                State::Length(left) => {
                    let (taken, left) = take(left, rest);
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(data(consumed, taken));
                }
                State::Data(left) => {
                    let (taken, left) = take(left, rest);
                    self.state = if left == 0 { State::Between(Between::DataEnd) } else { State::Data(left) };
                    return Ok(data(consumed, taken));
                }
                State::UntilClose => return Ok(data(consumed, rest.len())),
                State::Trailer { line_start, lines } => {
                    consumed += self.take_trailer(rest, line_start, lines)?;
                }
                State::Between(place) => {
                    let Some(byte) = rest.first() else { continue };
                    self.state = self.take_byte(place, *byte)?;
                    consumed += 1;
                }
            }
        }
    }

    /// Takes one byte of the framing between chunks.
    fn take_byte(&mut self, place: Between, byte: u8) -> Result<State, BodyError> {
        let next = match (place, byte) {
            (Between::Size { size, digits }, _) => take_size(size, digits, byte)?,
            (Between::Extension { size, line, place }, _) => self.take_extension(size, line, place, byte)?,
            (Between::SizeEnd(0), b'\n') => Between::SectionStart,
            (Between::SizeEnd(size), b'\n') => return Ok(State::Data(size)),
            (Between::DataEnd, b'\r') => Between::DataLf,
            (Between::DataEnd, byte) if byte != b'\n' => return Err(BodyError::ChunkEnd),
            (Between::DataLf, b'\n') => Between::Size { size: 0, digits: 0 },
            (Between::SectionStart, b'\r') => Between::SectionLf,
            (Between::SectionLf, b'\n') => return Ok(State::Done),
            (Between::SectionStart, byte) if byte != b'\n' => {
                self.section.clear();
                self.section.push(byte);
                return Ok(State::Trailer { line_start: 0, lines: 0 });
            }
            _ => return Err(BodyError::LineEnd),
        };
        Ok(State::Between(next))
    }

    fn take_extension(
        &mut self,
        size: u64,
        line: usize,
        place: Extension,
        byte: u8,
    ) -> Result<Between, BodyError> {
        let Some(place) = place.take(byte)? else { return Ok(Between::SizeEnd(size)) };
        self.extension_bytes += 1;
        if line >= CHUNK_LINE_BYTES_MAX || self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return Err(BodyError::ChunkLine);
        }
        Ok(Between::Extension { size, line: line + 1, place })
    }

    /// Takes what there is of the current line of the trailer section; how many bytes that was.
    fn take_trailer(&mut self, rest: &[u8], line_start: usize, lines: usize) -> Result<usize, BodyError> {
        let end = memchr::memchr(b'\n', rest);
        let taken = rest.get(..end.map_or(rest.len(), |end| end + 1)).unwrap_or_default();
        if self.section.len() + taken.len() > self.trailer_bytes_max {
            return Err(BodyError::TrailerLength);
        }
        self.section.extend_from_slice(taken);
        if end.is_none() {
            return Ok(taken.len());
        }
        let line = self.section.get(line_start..).unwrap_or_default();
        let line = line.strip_suffix(b"\r\n").ok_or(BodyError::LineEnd)?;
        if line.is_empty() {
            parse::fields(&self.section, lines, &mut self.trailers).map_err(|_| BodyError::Trailer)?;
            self.trailers.keep_trailers();
            self.state = State::Done;
        } else if lines >= self.trailer_fields_max {
            return Err(BodyError::TrailerLength);
        } else {
            self.state = State::Trailer { line_start: self.section.len(), lines: lines + 1 };
        }
        Ok(taken.len())
    }
}

impl State {
    fn first(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(left) => Self::Length(left),
            Framing::Chunked => Self::Between(Between::Size { size: 0, digits: 0 }),
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

/// Takes one byte of a chunk size: hexadecimal digits only, then the extensions or the end of the line.
fn take_size(size: u64, digits: u8, byte: u8) -> Result<Between, BodyError> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b';' if digits > 0 => {
            return Ok(Between::Extension { size, line: usize::from(digits) + 1, place: Extension::Start });
        }
        b'\r' if digits > 0 => return Ok(Between::SizeEnd(size)),
        b'\n' if digits > 0 => return Err(BodyError::LineEnd),
        _ => return Err(BodyError::ChunkSize),
    };
    if digits == CHUNK_SIZE_DIGITS_MAX {
        return Err(BodyError::ChunkSize);
    }
    Ok(Between::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
}

/// How many of `left` bytes are in the input, and how many are left after them.
fn take(left: u64, input: &[u8]) -> (usize, u64) {
    let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    (taken, left - taken as u64)
}

fn data(start: usize, len: usize) -> BodyStep {
    BodyStep { consumed: start + len, event: BodyEvent::Data(start..start + len) }
}
