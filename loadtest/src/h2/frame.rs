//! The frames of HTTP/2 (RFC 9113, section 4.1), as far as a load and an origin need them.

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longer frames are only allowed to who asked for them, and nobody here does.
pub(crate) const PAYLOAD_MAX: usize = 16_384;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

const HEAD: usize = 9;

/// A complete frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the front, and the bytes behind it; none: more bytes are needed.
    pub(crate) fn first(input: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, &'static str> {
        let Some((&[high, middle, low, kind, flags, stream @ ..], rest)) = input.split_first_chunk::<HEAD>()
        else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
        if length > PAYLOAD_MAX {
            return Err("a frame that is too long");
        }
        let Some((payload, behind)) = rest.split_at_checked(length) else { return Ok(None) };
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Ok(Some((Self { kind, flags, stream, payload }, behind)))
    }

    /// Whether the stream's sender has no more to send.
    pub(crate) fn ends_stream(self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// What DATA or HEADERS carry, without padding and priority.
    pub(crate) fn content(self) -> Result<&'a [u8], &'static str> {
        let mut content = self.payload;
        if self.flags & PADDED != 0 {
            let (padding, rest) = content.split_first().ok_or("no padding length")?;
            let kept = rest.len().checked_sub(usize::from(*padding)).ok_or("more padding than bytes")?;
            content = rest.get(..kept).unwrap_or_default();
        }
        if self.kind == HEADERS && self.flags & WITH_PRIORITY != 0 {
            content = content.get(5..).ok_or("no priority")?;
        }
        Ok(content)
    }

    /// The number in a `WINDOW_UPDATE`.
    pub(crate) fn increment(self) -> Result<u32, &'static str> {
        let bytes = self.payload.try_into().map_err(|_| "a window update of another length")?;
        Ok(u32::from_be_bytes(bytes) & 0x7fff_ffff)
    }
}

/// Appends a frame. `payload` is at most [`PAYLOAD_MAX`] bytes.
pub(crate) fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    debug_assert!(payload.len() <= PAYLOAD_MAX, "{} bytes in a frame", payload.len());
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&[high, middle, low, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Whether a block of fields begins with `:status: 200`. That is an entry of HPACK's static table (RFC 7541, appendix
/// A), so every encoder writes it in one byte, and a response's pseudo-field comes first; only changes of the dynamic
/// table's size may stand before it.
pub(crate) fn is_ok(block: &[u8]) -> bool {
    let mut rest = block;
    while let Some((first @ 0x20..=0x3f, behind)) = rest.split_first() {
        rest = behind;
        if first & 0x1f == 0x1f {
            let digits = rest.iter().take_while(|byte| **byte & 0x80 != 0).count();
            rest = rest.get(digits + 1..).unwrap_or_default();
        }
    }
    rest.first() == Some(&0x88)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_when_all_of_it_is_there() {
        let mut bytes = Vec::new();
        put(&mut bytes, DATA, END_STREAM, 5, b"hello");
        put(&mut bytes, PING, 0, 0, b"12345678");
        for end in 0..HEAD + 5 {
            assert_eq!(Frame::first(&bytes[..end]), Ok(None), "{end}");
        }
        let (frame, rest) = Frame::first(&bytes).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: DATA, flags: END_STREAM, stream: 5, payload: b"hello" });
        assert!(frame.ends_stream());
        let (frame, rest) = Frame::first(rest).unwrap().unwrap();
        assert!(!frame.ends_stream() && frame.kind == PING && rest.is_empty());
    }

    #[test]
    fn a_frame_may_have_so_many_bytes_and_no_more() {
        let head = |length: u32| [&length.to_be_bytes()[1..], &[DATA, 0, 0, 0, 0, 1]].concat();
        assert_eq!(Frame::first(&head(16_384)), Ok(None));
        assert!(Frame::first(&head(16_385)).is_err());
    }

    #[test]
    fn padding_and_priority_are_no_content() {
        let frame = |kind, flags, payload| Frame { kind, flags, stream: 1, payload };
        assert_eq!(frame(DATA, PADDED, b"\x02abcXX").content(), Ok(&b"abc"[..]));
        assert_eq!(frame(DATA, PADDED, b"\x02XX").content(), Ok(&b""[..]));
        assert!(frame(DATA, PADDED, b"\x03XX").content().is_err());
        assert!(frame(DATA, PADDED, b"").content().is_err());
        assert_eq!(frame(HEADERS, PADDED | WITH_PRIORITY, b"\x01.....abX").content(), Ok(&b"ab"[..]));
        assert!(frame(HEADERS, WITH_PRIORITY, b"1234").content().is_err());
    }

    #[test]
    fn a_window_update_has_four_bytes() {
        let frame = |payload| Frame { kind: WINDOW_UPDATE, flags: 0, stream: 0, payload };
        assert_eq!(frame(&[0x80, 0, 1, 0]).increment(), Ok(256));
        assert!(frame(&[0, 1, 0]).increment().is_err());
    }

    #[test]
    fn only_a_200_is_a_200() {
        for (block, expected) in [
            (&[0x88, 0x54][..], true),
            (&[0x20, 0x88], true),
            (&[0x3f, 0xe1, 0x1f, 0x20, 0x88], true),
            (&[0x89], false),
            (&[0x20], false),
            (&[0x3f, 0xff], false),
            (&[0x48, 0x82, 0x64, 0x02], false),
            (&[], false),
        ] {
            assert_eq!(is_ok(block), expected, "{block:x?}");
        }
    }
}
