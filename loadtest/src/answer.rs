//! Heads as the load and the origin need them: where one ends, its status, and how many bytes of body follow.

use memchr::{memchr, memmem};

/// A head at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Of a response; 0 for a request.
    pub(crate) status: u16,
    /// Bytes of the head.
    pub(crate) bytes: usize,
    /// Bytes of the body that follows. None: not stated.
    pub(crate) length: Option<usize>,
    /// Whether the connection ends after it.
    pub(crate) closes: bool,
}

/// A complete response at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the body.
    pub(crate) length: usize,
    /// Bytes of the whole response.
    pub(crate) wire_bytes: usize,
    /// Whether the connection ends after it.
    pub(crate) closes: bool,
}

/// The head at the front; none: more bytes are needed.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let mut rest = bytes.get(..end + 2).unwrap_or_default();
    let line = next_line(&mut rest).ok_or("no first line")?;
    let status = match line.strip_prefix(b"HTTP/1.1 ") {
        Some(rest) => rest.get(..3).and_then(number).and_then(|status| u16::try_from(status).ok()),
        None => line.ends_with(b" HTTP/1.1").then_some(0),
    };
    let mut head =
        Head { status: status.ok_or("no HTTP/1.1 head")?, bytes: end + 4, length: None, closes: false };
    while let Some(line) = next_line(&mut rest) {
        // Only three fields matter here, and their names begin with two letters.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            continue;
        }
        if let Some(value) = field(line, b"content-length") {
            head.length = Some(number(value).ok_or("bad content-length")?);
        } else if let Some(value) = field(line, b"connection") {
            head.closes |= value.eq_ignore_ascii_case(b"close");
        } else if field(line, b"transfer-encoding").is_some() {
            return Err("no content-length");
        }
    }
    Ok(Some(head))
}

/// The response at the front; none: more bytes are needed. A response must say its length.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
    let Some(Head { status, bytes: head_bytes, length, closes }) = head(bytes)? else { return Ok(None) };
    if status == 0 {
        return Err("no status line");
    }
    let length = length.ok_or("no content-length")?;
    let wire_bytes = head_bytes.checked_add(length).ok_or("bad content-length")?;
    Ok((bytes.len() >= wire_bytes).then_some(Answer { status, length, wire_bytes, closes }))
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (line, tail) = rest.split_at_checked(memchr(b'\n', rest)?)?;
    *rest = tail.get(1..)?;
    line.strip_suffix(b"\r")
}

/// The value of a line's field, if it has this name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":").filter(|_| start.eq_ignore_ascii_case(name))?;
    Some(value.trim_ascii())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_counted_when_it_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nA: b\r\n\r\nhello";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Ok(None), "{end}");
        }
        let expected = Answer { status: 200, length: 5, wire_bytes: text.len(), closes: false };
        assert_eq!(parse(text), Ok(Some(expected)));
        assert_eq!(
            parse(&[&text[..], b"HTTP"].concat()),
            Ok(Some(expected)),
            "what follows is not part of it"
        );
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for (text, reason) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no content-length"),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "no content-length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad content-length"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "no HTTP/1.1 head"),
            ("GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", "no status line"),
            ("hello\r\n\r\n", "no HTTP/1.1 head"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_close_is_seen() {
        let answer =
            parse(b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap().unwrap();
        assert_eq!((answer.status, answer.length, answer.closes), (503, 0, true));
    }

    #[test]
    fn a_request_has_a_head_too() {
        let text = b"POST / HTTP/1.1\r\nTe: a\r\nConnection : close\r\nContent-Length:7 \r\n\r\n1234567";
        let expected = Head { status: 0, bytes: text.len() - 7, length: Some(7), closes: false };
        assert_eq!(head(text), Ok(Some(expected)));
        assert_eq!(head(b"GET / HTTP/1.1\r\n\r\n").unwrap().unwrap().length, None);
    }
}
