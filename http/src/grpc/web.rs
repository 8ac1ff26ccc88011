//! gRPC-web: gRPC for clients that see no trailers, which come as a last frame of the body, and for those that see no
//! bytes, for which the body is base64.
//!
//! Two machines for the two ways of a body, fed in whatever pieces it comes. Neither keeps more than three characters.

use crate::fields::Fields;

/// The flag of the frame that holds the trailers.
const TRAILER_FLAG: u8 = 0x80;
/// Bytes of trailers in their frame. What a head may have fits.
pub const TRAILER_BYTES_MAX: usize = 64 * 1024;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Binary,
    /// In base64.
    Text,
}

/// A body that cannot be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// A byte that base64 does not have there.
    #[error("malformed base64")]
    Malformed,
    /// The end within four characters.
    #[error("the base64 ends within a group of four")]
    Truncated,
    /// Trailers over [`TRAILER_BYTES_MAX`].
    #[error("the trailers are too long")]
    Trailers,
}

/// A request's body on its way to the upstream.
#[derive(Debug, Clone)]
pub struct Decode {
    coding: Coding,
    group: Group,
}

/// Up to three characters of a group of four.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// Their bits, six each.
    bits: u32,
    /// How many there are, padding included. `have < 4`.
    have: u8,
    /// How many of them are padding. `padding <= 1`.
    padding: u8,
}

impl Decode {
    /// Before the first byte.
    pub fn new(coding: Coding) -> Self {
        Self { coding, group: Group::default() }
    }

    /// Takes a piece and appends what it says. Whoever writes a stream in base64 may pad each piece of it, so padding
    /// may be followed by more. After an error nothing further can be taken.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WebError> {
        if self.coding == Coding::Binary {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        out.reserve(bytes.len() / 4 * 3 + 3);
        for byte in bytes {
            self.group.take(*byte, out)?;
        }
        Ok(())
    }

    /// Says that nothing follows.
    pub fn finish(&self) -> Result<(), WebError> {
        if self.group.have == 0 { Ok(()) } else { Err(WebError::Truncated) }
    }
}

impl Group {
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), WebError> {
        let value = match (byte, self.have, self.padding) {
            (b'=', 2 | 3, _) => {
                self.padding += 1;
                0
            }
            (b'=', ..) | (_, _, 1..) => return Err(WebError::Malformed),
            _ => value(byte).ok_or(WebError::Malformed)?,
        };
        self.bits = self.bits << 6 | u32::from(value);
        self.have += 1;
        if self.have < 4 {
            return Ok(());
        }
        let [_, bytes @ ..] = self.bits.to_be_bytes();
        let (said, rest) = bytes.split_at_checked(3 - usize::from(self.padding)).unwrap_or_default();
        // Bits behind the last byte would let one body be written in several ways (RFC 4648, 3.5).
        if rest.iter().any(|byte| *byte != 0) {
            return Err(WebError::Malformed);
        }
        out.extend_from_slice(said);
        *self = Self::default();
        Ok(())
    }
}

/// A response's body on its way to the client.
#[derive(Debug, Clone)]
pub struct Encode {
    coding: Coding,
}

impl Encode {
    /// Before the first byte.
    pub fn new(coding: Coding) -> Self {
        Self { coding }
    }

    /// How it writes.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Appends a piece. In base64 each piece is padded: one that kept a byte back for the next would hold a message's
    /// end back for as long as the stream pauses.
    pub fn push(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.coding {
            Coding::Binary => out.extend_from_slice(bytes),
            Coding::Text => push_base64(bytes, out),
        }
    }

    /// Appends the trailers as the last frame: one line each, names in lower case. Without any the status stood in
    /// the head, and there is no such frame.
    pub fn finish(&self, trailers: Option<&Fields>, out: &mut Vec<u8>) -> Result<(), WebError> {
        let Some(trailers) = trailers.filter(|trailers| !trailers.is_empty()) else { return Ok(()) };
        let lines: usize = trailers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        if lines > TRAILER_BYTES_MAX {
            return Err(WebError::Trailers);
        }
        let length = u32::try_from(lines).map_err(|_| WebError::Trailers)?;
        let mut frame = Vec::with_capacity(lines + 5);
        frame.push(TRAILER_FLAG);
        frame.extend_from_slice(&length.to_be_bytes());
        for (name, value) in trailers.iter() {
            frame.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
            frame.extend_from_slice(b": ");
            frame.extend_from_slice(value);
            frame.extend_from_slice(b"\r\n");
        }
        self.push(&frame, out);
        Ok(())
    }
}

/// How many bytes a piece of so many becomes.
pub fn encoded_len(coding: Coding, bytes: usize) -> usize {
    match coding {
        Coding::Binary => bytes,
        Coding::Text => bytes.div_ceil(3) * 4,
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(encoded_len(Coding::Text, bytes.len()));
    let digit = |bits: u32| ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'A');
    let digits = |bits: u32| [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)];
    let (groups, rest) = bytes.as_chunks::<3>();
    for [a, b, c] in groups {
        out.extend_from_slice(&digits(u32::from_be_bytes([0, *a, *b, *c])));
    }
    match rest {
        [a] => {
            let [first, second, ..] = digits(u32::from_be_bytes([0, *a, 0, 0]));
            out.extend_from_slice(&[first, second, b'=', b'=']);
        }
        [a, b] => {
            let [first, second, third, _] = digits(u32::from_be_bytes([0, *a, *b, 0]));
            out.extend_from_slice(&[first, second, third, b'=']);
        }
        _ => {}
    }
}

/// What a character of base64 stands for.
fn value(byte: u8) -> Option<u8> {
    VALUES.get(usize::from(byte)).copied().filter(|value| *value < 64)
}

/// By character; 64 for those that base64 does not have.
static VALUES: [u8; 256] = {
    let mut table = [64; 256];
    let mut index = 0_u8;
    while index < 64 {
        #[expect(clippy::indexing_slicing, reason = "in range, and this runs in the compiler")]
        {
            table[ALPHABET[index as usize] as usize] = index;
        }
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(pieces: &[&[u8]], trailers: Option<&Fields>, coding: Coding) -> Vec<u8> {
        let encode = Encode::new(coding);
        let mut out = Vec::new();
        for piece in pieces {
            encode.push(piece, &mut out);
        }
        encode.finish(trailers, &mut out).unwrap();
        out
    }

    fn decoded(pieces: &[&[u8]], coding: Coding) -> Result<Vec<u8>, WebError> {
        let mut decode = Decode::new(coding);
        let mut out = Vec::new();
        for piece in pieces {
            decode.push(piece, &mut out)?;
        }
        decode.finish()?;
        Ok(out)
    }

    #[test]
    fn base64_is_rfc_4648s() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(&[plain.as_bytes()], None, Coding::Text), text.as_bytes());
            assert_eq!(encoded_len(Coding::Text, plain.len()), text.len());
            for at in 0..=text.len() {
                let (one, other) = text.as_bytes().split_at(at);
                assert_eq!(decoded(&[one, other], Coding::Text).unwrap(), plain.as_bytes(), "{text} at {at}");
            }
        }
        let all: Vec<u8> = (0..=255).chain([0xfb, 0xff, 0xbf]).collect();
        let text = encoded(&[&all], None, Coding::Text);
        assert!(text.contains(&b'+') && text.contains(&b'/'));
        assert_eq!(decoded(&[&text], Coding::Text).unwrap(), all);
    }

    #[test]
    fn a_stream_of_padded_pieces_is_read_at_every_split() {
        let text = b"AAAAAAM=AQID//8=gA==";
        let plain = [0, 0, 0, 0, 3, 1, 2, 3, 0xff, 0xff, 0x80];
        for at in 0..=text.len() {
            for until in at..=text.len() {
                let pieces = [&text[..at], &text[at..until], &text[until..]];
                assert_eq!(decoded(&pieces, Coding::Text).unwrap(), plain, "at {at} and {until}");
            }
        }
        assert_eq!(decoded(&[b"\x00\xff", b"="], Coding::Binary).unwrap(), b"\x00\xff=");
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for (text, error) in [
            ("A", WebError::Truncated),
            ("AA", WebError::Truncated),
            ("AAA", WebError::Truncated),
            ("AA=", WebError::Truncated),
            ("AAAAA", WebError::Truncated),
            ("=", WebError::Malformed),
            ("A=AA", WebError::Malformed),
            ("AA=A", WebError::Malformed),
            ("AAAA=", WebError::Malformed),
            ("AA==\n", WebError::Malformed),
            ("AA A", WebError::Malformed),
            ("A-_A", WebError::Malformed),
            ("AB==", WebError::Malformed),
            ("AAB=", WebError::Malformed),
            ("AA\u{7f}A", WebError::Malformed),
        ] {
            assert_eq!(decoded(&[text.as_bytes()], Coding::Text), Err(error), "{text}");
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(decoded(&bytes, Coding::Text), Err(error), "{text}, byte by byte");
        }
    }

    #[test]
    fn trailers_are_the_last_frame() {
        let mut trailers = Fields::new();
        trailers.push("Grpc-Status", b"5").unwrap();
        trailers.push("grpc-message", b"no such thing").unwrap();
        let block = b"grpc-status: 5\r\ngrpc-message: no such thing\r\n";
        let length = u8::try_from(block.len()).unwrap();
        let expected = [b"\0\0\0\0\x01a", &[0x80, 0, 0, 0, length][..], block].concat();
        let data = b"\0\0\0\0\x01a";
        for at in 0..=data.len() {
            let pieces = [&data[..at], &data[at..]];
            assert_eq!(encoded(&pieces, Some(&trailers), Coding::Binary), expected);
            let text = encoded(&pieces, Some(&trailers), Coding::Text);
            assert_eq!(decoded(&[&text], Coding::Text).unwrap(), expected, "at {at}");
        }
        assert_eq!(encoded(&[data], None, Coding::Binary), data);
        assert_eq!(encoded(&[data], Some(&Fields::new()), Coding::Binary), data);
    }

    #[test]
    fn trailers_have_a_limit() {
        for (spare, expected) in [(0, Ok(())), (1, Err(WebError::Trailers))] {
            let mut trailers = Fields::new();
            trailers.push("a", &vec![b'x'; TRAILER_BYTES_MAX - 5 + spare]).unwrap();
            let mut out = Vec::new();
            assert_eq!(Encode::new(Coding::Binary).finish(Some(&trailers), &mut out), expected);
            assert_eq!(out.len(), if spare == 0 { TRAILER_BYTES_MAX + 5 } else { 0 });
        }
    }
}
