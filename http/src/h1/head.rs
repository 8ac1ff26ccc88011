//! Finds a head at the front of the input, line by line and each byte once, and hands it to the parsers when
//! it is whole.
//!
//! What can be refused is refused at the first byte that shows it, and the outcome never depends on how the
//! bytes were split: every check here looks at a prefix of the input that only grows.

use crate::error::HeadError;
use crate::head::{Limits, Method, RequestHead, ResponseHead};

use super::{framing, line, parse};

/// Empty lines before a request line that are skipped (RFC 9112, 2.2).
pub const LEADING_EMPTY_LINES_MAX: usize = 4;

/// Looks for a head at the front of the input; remembers how far it has looked, so that a slow sender costs
/// no second look.
#[derive(Debug, Clone, Default)]
pub struct HeadReader {
    /// Where the head begins, after leading empty lines.
    start: usize,
    /// How many leading empty lines were skipped.
    empty_lines: usize,
    /// Where the line begins that is not complete yet. `start <= line_start <= scanned`.
    line_start: usize,
    /// Up to where there is no further line end.
    scanned: usize,
    /// Where the field lines begin, once the start line is complete.
    fields_start: usize,
    /// Complete lines of the head.
    lines: usize,
    /// Whether the target is known to end within its limit.
    target_bounded: bool,
}

/// Where a complete head lies in the input. `start < fields_start < end`.
struct Block {
    start: usize,
    fields_start: usize,
    end: usize,
    fields: usize,
}

/// Which start line is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
}

impl HeadReader {
    /// A reader at the start of a head.
    pub fn new() -> Self {
        Self::default()
    }

    /// `None`: feed more (the same input with bytes appended). `Some(n)`: the head is in `head`, `n` bytes
    /// are consumed (leading empty lines included), and the reader is at the start again.
    pub fn request(
        &mut self,
        input: &[u8],
        limits: &Limits,
        head: &mut RequestHead,
    ) -> Result<Option<usize>, HeadError> {
        let mut has_line = false;
        let found = self.scan(input, limits, Kind::Request, |start_line| {
            has_line = true;
            line::request(start_line, head)
        })?;
        let Some(block) = found else { return Ok(None) };
        if !has_line {
            // The line was checked when it arrived, but this head need not be the one that it was parsed
            // into.
            line::request(block.start_line(input), head)?;
        }
        *self = Self::new();
        parse::fields(block.field_lines(input), block.fields, &mut head.fields)?;
        framing::request(head)?;
        head.wire_bytes = block.end;
        Ok(Some(block.end))
    }

    /// The same for a response to `request_method`, whose framing depends on it.
    pub fn response(
        &mut self,
        input: &[u8],
        limits: &Limits,
        request_method: Method,
        head: &mut ResponseHead,
    ) -> Result<Option<usize>, HeadError> {
        let mut has_line = false;
        let found = self.scan(input, limits, Kind::Response, |start_line| {
            has_line = true;
            line::response(start_line, head)
        })?;
        let Some(block) = found else { return Ok(None) };
        if !has_line {
            line::response(block.start_line(input), head)?;
        }
        *self = Self::new();
        parse::fields(block.field_lines(input), block.fields, &mut head.fields)?;
        framing::response(head, request_method)?;
        Ok(Some(block.end))
    }

    /// Takes every complete line of what is new in the input; the head if its final empty line was among
    /// them.
    fn scan(
        &mut self,
        input: &[u8],
        limits: &Limits,
        kind: Kind,
        mut on_start_line: impl FnMut(&[u8]) -> Result<(), HeadError>,
    ) -> Result<Option<Block>, HeadError> {
        loop {
            // Nothing beyond the limit is looked at, so that the verdict does not depend on how much has
            // arrived.
            let window_end = input.len().min(self.start.saturating_add(limits.head_bytes_max));
            let window = input.get(self.scanned..window_end).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', window) else {
                self.scanned = self.scanned.max(window_end);
                if self.lines == 0 {
                    self.check_start(input.get(self.start..window_end).unwrap_or_default(), limits, kind)?;
                }
                if window_end - self.start >= limits.head_bytes_max {
                    return Err(HeadError::HeadLength);
                }
                return Ok(None);
            };
            let line_end = self.scanned + found;
            let line_start = std::mem::replace(&mut self.line_start, line_end + 1);
            self.scanned = self.line_start;
            let line = input.get(line_start..line_end).unwrap_or_default();
            if self.lines == 0 {
                self.check_start(line, limits, kind)?;
            }
            let Some((b'\r', line)) = line.split_last() else { return Err(HeadError::LineEnd) };
            if self.lines == 0 {
                self.take_start_line(line, &mut on_start_line)?;
            } else if line.is_empty() {
                return Ok(Some(Block {
                    start: self.start,
                    fields_start: self.fields_start,
                    end: self.line_start,
                    fields: self.lines - 1,
                }));
            } else {
                if self.lines > limits.fields_max {
                    return Err(HeadError::FieldCount);
                }
                self.lines += 1;
            }
        }
    }

    fn take_start_line(
        &mut self,
        line: &[u8],
        on_start_line: &mut impl FnMut(&[u8]) -> Result<(), HeadError>,
    ) -> Result<(), HeadError> {
        if line.is_empty() {
            self.start = self.line_start;
            self.empty_lines += 1;
            return if self.empty_lines > LEADING_EMPTY_LINES_MAX {
                Err(HeadError::Malformed)
            } else {
                Ok(())
            };
        }
        on_start_line(line)?;
        self.fields_start = self.line_start;
        self.lines = 1;
        Ok(())
    }

    /// Refuses what can be refused of a start line before its end is there. `line` may be any prefix of it, a
    /// CR included.
    fn check_start(&mut self, line: &[u8], limits: &Limits, kind: Kind) -> Result<(), HeadError> {
        match kind {
            Kind::Request if !self.target_bounded => {
                self.target_bounded = line::check_request_prefix(line, limits)?;
                Ok(())
            }
            Kind::Request => Ok(()),
            Kind::Response => line::check_response_prefix(line),
        }
    }
}

impl Block {
    /// The start line without its end.
    fn start_line<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        let line = input.get(self.start..self.fields_start).unwrap_or_default();
        line.strip_suffix(b"\r\n").unwrap_or(line)
    }

    /// The field lines with the final empty line.
    fn field_lines<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        input.get(self.fields_start..self.end).unwrap_or_default()
    }
}
