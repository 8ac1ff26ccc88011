//! The little of HTTP/1.1 that the demonstration's origin needs to read: it only ever talks to the gateway before it.

use std::io::{self, BufRead, Read, Write};

/// The longest line, and the most lines, of a head.
const LINE_BYTES_MAX: u64 = 16 << 10;
const LINES_MAX: usize = 300;

/// A request whose body is still to be read.
pub(super) struct Request {
    pub(super) method: String,
    /// With its query.
    pub(super) target: String,
    pub(super) fields: Vec<(String, String)>,
}

impl Request {
    /// Reads a head; `None` when the connection ends before one.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let first = line(from)?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut words = first.split_whitespace().map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(bad("a request line"));
        };
        let mut fields = Vec::new();
        while fields.len() < LINES_MAX {
            let field = line(from)?;
            let field = field.trim_end();
            if field.is_empty() {
                return Ok(Some(Self { method, target, fields }));
            }
            let (name, value) = field.split_once(':').ok_or_else(|| bad("a header"))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Err(bad("fewer headers"))
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn wants_close(&self) -> bool {
        self.field("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Reads the body to its end, and says how long it was and how it began.
    pub(super) fn body(
        &self,
        from: &mut impl BufRead,
        to: &mut impl Write,
        kept_bytes_max: usize,
    ) -> io::Result<(u64, Vec<u8>)> {
        if self.field("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            to.flush()?;
        }
        let (mut bytes, mut kept) = (0, Vec::new());
        let is_chunked =
            self.field("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if !is_chunked {
            let length = self
                .field("Content-Length")
                .map_or(Ok(0), |value| value.parse().map_err(|_| bad("a length")))?;
            piece(from, length, &mut bytes, &mut kept, kept_bytes_max)?;
            return Ok((bytes, kept));
        }
        loop {
            let size = line(from)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| bad("a chunk's size"))?;
            if size == 0 {
                while !line(from)?.trim_end().is_empty() {}
                return Ok((bytes, kept));
            }
            piece(from, size, &mut bytes, &mut kept, kept_bytes_max)?;
            line(from)?;
        }
    }
}

/// Reads exactly `length` bytes and keeps the first of them.
fn piece(
    from: &mut impl BufRead,
    length: u64,
    bytes: &mut u64,
    kept: &mut Vec<u8>,
    kept_bytes_max: usize,
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let available = from.fill_buf()?;
        if available.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let some = available.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let room = kept_bytes_max.saturating_sub(kept.len());
        kept.extend_from_slice(available.get(..some.min(room)).unwrap_or_default());
        from.consume(some);
        left -= some as u64;
    }
    *bytes += length;
    Ok(())
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line)
}

fn bad(expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_to_their_end_and_not_further() {
        for (text, bytes, kept) in [
            ("GET / HTTP/1.1\r\n\r\n", 0, ""),
            ("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello", 5, "hel"),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n",
                5,
                "hel",
            ),
        ] {
            let text = format!("{text}GET /next?a=1 HTTP/1.1\r\nConnection: close\r\n\r\n");
            let mut from = text.as_bytes();
            let first = Request::read(&mut from).unwrap().unwrap();
            let body = first.body(&mut from, &mut Vec::new(), 3).unwrap();
            assert_eq!(body, (bytes, kept.as_bytes().to_vec()), "{text}");
            let next = Request::read(&mut from).unwrap().unwrap();
            assert_eq!((next.path(), next.wants_close()), ("/next", true));
            assert!(Request::read(&mut from).unwrap().is_none());
        }
    }
}
