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
        if self.is_at_start()
            && let Some(end) = whole_request(input, limits, head)
        {
            return Ok(Some(end));
        }
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
        if self.is_at_start()
            && let Some(end) = whole_response(input, limits, request_method, head)
        {
            return Ok(Some(end));
        }
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

    /// Whether nothing of this head has been looked at.
    fn is_at_start(&self) -> bool {
        self.scanned == 0
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
            } else if line.first() == Some(&b'\r') {
                // Said at once, for it looks like the end of a head: its sender may be waiting for an answer.
                return Err(HeadError::LineEnd);
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

/// The short way for most heads: they arrive whole, begin with their start line, and are right. `None` says nothing
/// about the head; the reader then goes through it line by line, and finds what is wrong or missing.
fn whole_request(input: &[u8], limits: &Limits, head: &mut RequestHead) -> Option<usize> {
    let (start_line, rest) = first_line(input, limits)?;
    line::check_request_prefix(start_line, limits).ok()?;
    line::request(start_line, head).ok()?;
    let end =
        input.len() - rest.len() + parse::whole(within(rest, input, limits)?, limits, &mut head.fields)?;
    framing::request(head).ok()?;
    head.wire_bytes = end;
    Some(end)
}

/// The same for a response.
fn whole_response(
    input: &[u8],
    limits: &Limits,
    request_method: Method,
    head: &mut ResponseHead,
) -> Option<usize> {
    let (start_line, rest) = first_line(input, limits)?;
    line::response(start_line, head).ok()?;
    let end =
        input.len() - rest.len() + parse::whole(within(rest, input, limits)?, limits, &mut head.fields)?;
    framing::response(head, request_method).ok()?;
    Some(end)
}

/// The first line without its end, unless it is empty, and what follows it.
fn first_line<'a>(input: &'a [u8], limits: &Limits) -> Option<(&'a [u8], &'a [u8])> {
    let end = memchr::memchr(b'\n', within(input, input, limits)?)?;
    let (line, rest) = (input.get(..end)?, input.get(end + 1..)?);
    let line = line.strip_suffix(b"\r")?;
    if line.is_empty() { None } else { Some((line, rest)) }
}

/// What of the end of the input may belong to the head by its length.
fn within<'a>(rest: &'a [u8], input: &[u8], limits: &Limits) -> Option<&'a [u8]> {
    let before = input.len() - rest.len();
    let left = limits.head_bytes_max.checked_sub(before)?;
    rest.get(..left.min(rest.len()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{BodySize, write_request, write_response};
    use crate::head::{Framing, Version};

    fn capacities(head: &RequestHead) -> [usize; 8] {
        [
            head.other_method.capacity(),
            head.target.capacity(),
            head.path.capacity(),
            head.authority.capacity(),
            head.host.capacity(),
            head.upgrade.capacity(),
            head.fields.capacities().0,
            head.fields.capacities().1,
        ]
    }

    #[test]
    fn the_next_message_takes_no_new_memory() {
        let request = b"PURGE http://Example.com/a/./b?c=d HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\
            Connection: upgrade, x-a\r\nUpgrade: websocket\r\nX-A: c\r\nAccept: */*\r\n\r\n";
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n";
        let (mut reader, mut head, mut reply) = (HeadReader::new(), RequestHead::new(), ResponseHead::new());
        let mut out = Vec::new();
        let mut exchange = || {
            out.clear();
            assert_eq!(reader.request(request, &Limits::default(), &mut head), Ok(Some(request.len())));
            head.fields.remove_hop_by_hop();
            head.fields.set("X-Request-ID", b"1").unwrap();
            let (method, authority) = (head.method_text(), head.authority());
            write_request(
                &mut out,
                method,
                head.path(),
                authority,
                &head.fields,
                Framing::Chunked,
                head.upgrade(),
            );
            let read = reader.response(response, &Limits::default(), Method::Get, &mut reply);
            assert_eq!(read, Ok(Some(response.len())));
            let (client, size) = (Version::Http11, BodySize::Known(5));
            write_response(&mut out, client, reply.status, &reply.fields, size, reply.persistence, None);
            (capacities(&head), reply.fields.capacities(), out.capacity())
        };
        let warm = exchange();
        for _ in 0..1000 {
            assert_eq!(exchange(), warm);
        }
    }

    #[test]
    fn a_trickled_head_is_scanned_once() {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(5000));
        let mut reader = HeadReader::new();
        let mut parsed = RequestHead::new();
        for len in 0..head.len() {
            let prefix = head.as_bytes().get(..len).unwrap();
            assert_eq!(reader.request(prefix, &Limits::default(), &mut parsed), Ok(None));
            // Only what is new is looked at next time.
            assert_eq!(reader.scanned, len);
        }
    }

    #[test]
    fn another_head_may_take_the_result_of_a_split_request() {
        let input = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut reader = HeadReader::new();
        assert_eq!(reader.request(&input[..20], &Limits::default(), &mut RequestHead::new()), Ok(None));
        let mut head = RequestHead::new();
        assert_eq!(reader.request(input, &Limits::default(), &mut head), Ok(Some(input.len())));
        assert_eq!((head.path(), head.host()), ("/a", "a"));
    }
}
