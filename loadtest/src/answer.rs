//! What the load checks before it counts: a response's status and the length of its body.

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

/// The response at the front; none: more bytes are needed. A response must say its length.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
    let Some(head_bytes) = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let head =
        bytes.get(..head_bytes).and_then(|head| std::str::from_utf8(head).ok()).ok_or("head is not text")?;
    let (line, fields) = head.split_once("\r\n").ok_or("no status line")?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or("no status line")?;
    let (mut length, mut closes) = (None, false);
    for (name, value) in fields.split("\r\n").filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse().map_err(|_| "bad content-length")?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes |= value.eq_ignore_ascii_case("close");
        }
    }
    let length: usize = length.ok_or("no content-length")?;
    let wire_bytes = head_bytes.checked_add(length).ok_or("bad content-length")?;
    Ok((bytes.len() >= wire_bytes).then_some(Answer { status, length, wire_bytes, closes }))
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
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad content-length"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "no status line"),
            ("hello\r\n\r\n", "no status line"),
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
}
