//! Where the frames of a WebSocket begin and end (RFC 6455, 5.2), and the close frame.
//!
//! A gateway passes a WebSocket's bytes on as they come. It looks at them for one reason: a close frame of its own
//! may stand between two frames and nowhere else. So one direction is followed frame by frame, in whatever pieces its
//! bytes come, and no payload is kept, unmasked or judged.

use crate::fields::Fields;

/// The status of an end that is on its way (RFC 6455, 7.4.1): the gateway is going away, or has had the connection for
/// as long as it may.
pub const GOING_AWAY: u16 = 1001;

/// Bytes of a close frame with a status and no text, at most.
pub const CLOSE_BYTES_MAX: usize = 8;

/// Whether an exchange with this `Upgrade` in its request, and these fields in its 101, has become a WebSocket. A
/// client fails a connection that lacks `Sec-WebSocket-Accept` (RFC 6455, 4.1).
pub fn is_websocket(upgrade: &[u8], response: &Fields) -> bool {
    upgrade.eq_ignore_ascii_case(b"websocket") && response.value("sec-websocket-accept").is_some()
}

/// Whether a direction's payloads are masked: those of clients are, and no others (RFC 6455, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masking {
    /// Towards the upstream.
    Masked,
    /// Towards the client.
    Bare,
}

/// One direction of a WebSocket, as far as its bytes have been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frames {
    masking: Masking,
    place: Place,
}

/// Where the next byte stands.
///
/// ```text
/// Boundary -> Length -> (Extended ->) Payload -> Boundary, or Closed after a close frame
///                 \________________\-> Lost
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between two frames.
    Boundary,
    /// At a frame's second byte; this was its first.
    Length(u8),
    /// In the extended length: so many of its bytes are still to come, and what it is so far. `0 < left <= 8`.
    Extended { kind: Kind, left: u8, length: u64, least: u64 },
    /// In the masking key and the payload, of which so many bytes are still to come. Never zero.
    Payload { kind: Kind, left: u64 },
    /// Behind a close frame, after which nothing counts (RFC 6455, 5.5.1).
    Closed,
    /// In something that is no WebSocket: where frames end is not known any more.
    Lost,
}

/// What a frame means to whoever follows frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Close,
    Other,
}

const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;
const MASK: u8 = 0x80;
/// Lengths that say that the length follows, in two or in eight bytes.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
const MASK_BYTES: u64 = 4;

impl Frames {
    /// Before the first byte.
    pub fn new(masking: Masking) -> Self {
        Self { masking, place: Place::Boundary }
    }

    /// Whether its payloads are masked.
    pub fn masking(&self) -> Masking {
        self.masking
    }

    /// Follows all of these bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Follows the bytes up to the end of the frame that they are in; how many those are. None where a frame ends
    /// already, all of them where none ends.
    pub fn push_to_boundary(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_at_boundary() {
            taken += self.step(bytes.get(taken..).unwrap_or_default());
        }
        taken
    }

    /// Whether a frame of somebody else may be sent now: between two frames, and not after a close frame.
    pub fn is_at_boundary(&self) -> bool {
        self.place == Place::Boundary
    }

    /// Whether a close frame has been seen whole.
    pub fn is_closed(&self) -> bool {
        self.place == Place::Closed
    }

    /// Whether this is no WebSocket, so that nothing is known about it.
    pub fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Takes some of the bytes, at least one; how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let Some(byte) = bytes.first().copied() else { return 0 };
        let (next, taken) = match self.place {
            Place::Boundary => (Place::Length(byte), 1),
            Place::Length(first) => (self.take_length(first, byte), 1),
            Place::Extended { kind, left, length, least } => {
                let length = length << 8 | u64::from(byte);
                let next = match left {
                    // The shortest way to write a length is the only one, and its first bit is not a length's.
                    1 if length < least || length >> 63 != 0 => Place::Lost,
                    1 => self.payload(kind, length),
                    _ => Place::Extended { kind, left: left - 1, length, least },
                };
                (next, 1)
            }
            Place::Payload { kind, left } => {
                let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                (Place::payload(kind, left - taken as u64), taken)
            }
            Place::Closed | Place::Lost => (self.place, bytes.len()),
        };
        self.place = next;
        taken
    }

    /// Takes a frame's second byte. Opcodes and bits that are not assigned are an extension's, and lengths hold for
    /// them.
    fn take_length(&self, first: u8, second: u8) -> Place {
        let masking = if second & MASK == 0 { Masking::Bare } else { Masking::Masked };
        let length = second & !MASK;
        // Control frames are short and whole (RFC 6455, 5.5).
        let is_control = first & CONTROL != 0;
        if masking != self.masking || (is_control && (length >= LENGTH_16 || first & FIN == 0)) {
            return Place::Lost;
        }
        let kind = if first & OPCODE == CLOSE { Kind::Close } else { Kind::Other };
        match length {
            LENGTH_16 => Place::Extended { kind, left: 2, length: 0, least: u64::from(LENGTH_16) },
            LENGTH_64 => Place::Extended { kind, left: 8, length: 0, least: 1 << 16 },
            _ => self.payload(kind, u64::from(length)),
        }
    }

    fn payload(&self, kind: Kind, length: u64) -> Place {
        let mask = if self.masking == Masking::Masked { MASK_BYTES } else { 0 };
        // A length has 63 bits: the sum has at most 64.
        Place::payload(kind, length.saturating_add(mask))
    }
}

impl Place {
    fn payload(kind: Kind, left: u64) -> Self {
        match (kind, left) {
            (Kind::Close, 0) => Self::Closed,
            (Kind::Other, 0) => Self::Boundary,
            (kind, left) => Self::Payload { kind, left },
        }
    }
}

/// Appends a close frame. Towards the upstream it is masked with `key`; towards the client, `None`, it is not.
pub fn write_close(status: u16, key: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let [high, low] = status.to_be_bytes();
    match key {
        None => out.extend_from_slice(&[FIN | CLOSE, 2, high, low]),
        Some(key @ [first, second, ..]) => {
            out.extend_from_slice(&[FIN | CLOSE, MASK | 2]);
            out.extend_from_slice(&key);
            out.extend_from_slice(&[high ^ first, low ^ second]);
        }
    }
}

/// Entry point of the fuzz target: any bytes as one direction, the first choosing which. Asserts that frames end
/// where a reader of the whole finds them, however the bytes were split.
#[doc(hidden)]
pub fn fuzz(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    let masking = if choice % 2 == 0 { Masking::Masked } else { Masking::Bare };
    let mut whole = Frames::new(masking);
    whole.push(input);
    let ends = ends_of(input, masking);
    assert_eq!(whole.is_at_boundary(), ends.last().copied().unwrap_or(0) == input.len());
    for piece in [1, 2, 3, 7, input.len().max(1)] {
        let mut split = Frames::new(masking);
        let (mut found, mut offset) = (Vec::new(), 0);
        for bytes in input.chunks(piece) {
            let mut taken = 0;
            while taken < bytes.len() {
                if split.is_at_boundary() {
                    split.push(bytes.get(taken..=taken).unwrap_or_default());
                    taken += 1;
                }
                taken += split.push_to_boundary(bytes.get(taken..).unwrap_or_default());
                assert!(taken <= bytes.len());
                if split.is_at_boundary() {
                    found.push(offset + taken);
                }
            }
            offset += bytes.len();
        }
        assert_eq!(split, whole, "a split direction ends elsewhere");
        assert_eq!(found, ends, "frames end elsewhere");
    }
}

/// Where the frames of a whole direction end, up to a close frame (whose end is none) or to what is no frame.
fn ends_of(input: &[u8], masking: Masking) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some([first, second, rest @ ..]) = input.get(at..) {
        let masked = second & MASK != 0;
        let (extra, length) = match (second & !MASK, rest) {
            (LENGTH_16, [high, low, ..]) => (2, u64::from(u16::from_be_bytes([*high, *low]))),
            (LENGTH_64, _) => match rest.first_chunk() {
                Some(length) => (8, u64::from_be_bytes(*length)),
                None => break,
            },
            (LENGTH_16, _) => break,
            (length, _) => (0, u64::from(length)),
        };
        let least =
            [(2, 126), (8, 1 << 16)].iter().find(|(bytes, _)| *bytes == extra).map_or(0, |least| least.1);
        let control = first & CONTROL != 0;
        let sound = masked == (masking == Masking::Masked)
            && length >= least
            && length < 1 << 63
            && (!control || (extra == 0 && first & FIN != 0));
        let mask = if masked { 4 } else { 0 };
        let end = usize::try_from(length).ok().and_then(|length| length.checked_add(at + 2 + extra + mask));
        let Some(end) = end.filter(|end| sound && *end <= input.len()) else { break };
        if first & OPCODE == CLOSE {
            break;
        }
        ends.push(end);
        at = end;
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: usize, masking: Masking) -> Vec<u8> {
        let mask = if masking == Masking::Masked { MASK } else { 0 };
        let mut out = vec![first];
        match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short), _) if short < LENGTH_16 => out.push(mask | short),
            (_, Ok(long)) => {
                out.push(mask | LENGTH_16);
                out.extend_from_slice(&long.to_be_bytes());
            }
            _ => {
                out.push(mask | LENGTH_64);
                out.extend_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        if masking == Masking::Masked {
            out.extend_from_slice(&[1, 2, 3, 4]);
        }
        // Payloads that look like close frames.
        out.extend(std::iter::repeat_n(0x88, payload));
        out
    }

    #[test]
    fn boundaries_are_found_at_every_split() {
        for masking in [Masking::Masked, Masking::Bare] {
            let frames: Vec<_> =
                [(0x81, 0), (0x82, 5), (0x01, 125), (0x89, 3), (0x80, 126), (0xc2, 200), (0x82, 70_000)]
                    .into_iter()
                    .map(|(first, payload)| frame(first, payload, masking))
                    .collect();
            let whole = frames.concat();
            let ends: Vec<_> = frames
                .iter()
                .scan(0, |at, frame| {
                    *at += frame.len();
                    Some(*at)
                })
                .collect();
            let marks = (0..700).chain(whole.len() - 30..=whole.len());
            for at in marks {
                let mut tracker = Frames::new(masking);
                tracker.push(&whole[..at]);
                assert_eq!(tracker.is_at_boundary(), at == 0 || ends.contains(&at), "{masking:?} at {at}");
                let next = ends.iter().find(|end| **end >= at).copied().unwrap_or(whole.len());
                let expected = if tracker.is_at_boundary() { 0 } else { next - at };
                assert_eq!(tracker.push_to_boundary(&whole[at..]), expected, "{masking:?} at {at}");
                tracker.push(&whole[at + expected..]);
                assert!(tracker.is_at_boundary() && !tracker.is_closed());
            }
        }
    }

    #[test]
    fn a_large_frame_costs_no_memory_and_ends_where_it_says() {
        for payload in [16_u64 << 20, 1 << 40, (1 << 63) - 1] {
            let mut tracker = Frames::new(Masking::Bare);
            tracker.push(&[0x82, LENGTH_64]);
            tracker.push(&payload.to_be_bytes());
            let piece = vec![0; 1 << 20];
            for _ in 0..15 {
                assert_eq!(tracker.push_to_boundary(&piece), piece.len());
                assert!(!tracker.is_at_boundary() && !tracker.is_lost());
            }
            if payload == 16 << 20 {
                assert_eq!(tracker.push_to_boundary(&vec![0; (1 << 20) + 9]), 1 << 20);
                assert!(tracker.is_at_boundary());
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_given_up() {
        let length = |second: u8, length: &[u8]| [&[0x82, second], length].concat();
        let cases = [
            ("a masked frame of an upstream", vec![0x82, MASK]),
            ("125 written in two bytes", length(LENGTH_16, &[0, 125])),
            ("65,535 written in eight bytes", length(LENGTH_64, &[0, 0, 0, 0, 0, 0, 0xff, 0xff])),
            ("a 64th bit", length(LENGTH_64, &[0x80, 0, 0, 0, 0, 0, 0, 0])),
            ("a long ping", vec![0x89, LENGTH_16]),
            ("a close frame in two", vec![0x08, 0]),
        ];
        for (what, bytes) in cases {
            for at in 0..=bytes.len() {
                let mut tracker = Frames::new(Masking::Bare);
                tracker.push(&bytes[..at]);
                tracker.push(&bytes[at..]);
                assert!(tracker.is_lost() && !tracker.is_at_boundary() && !tracker.is_closed(), "{what}");
                assert_eq!(tracker.push_to_boundary(&[0x81, 0]), 2, "{what}: bytes pass");
                assert!(tracker.is_lost(), "{what}: for good");
            }
        }
        let sound =
            [length(LENGTH_16, &[0, 126]), length(LENGTH_64, &[0, 0, 0, 0, 0, 1, 0, 0]), vec![0x89, 125]];
        for bytes in sound {
            let mut tracker = Frames::new(Masking::Bare);
            tracker.push(&bytes);
            assert!(!tracker.is_lost(), "{bytes:?}");
        }
        let mut client = Frames::new(Masking::Masked);
        client.push(&[0x82, 0]);
        assert!(client.is_lost(), "a client's frame without a mask");
    }

    #[test]
    fn a_written_close_frame_is_read_as_one() {
        for (masking, key, expected) in [
            (Masking::Bare, None, &[0x88, 2, 3, 0xe9][..]),
            (Masking::Masked, Some([0xa0, 0xb0, 7, 8]), &[0x88, 0x82, 0xa0, 0xb0, 7, 8, 0xa3, 0x59]),
        ] {
            let mut bytes = Vec::new();
            write_close(GOING_AWAY, key, &mut bytes);
            assert_eq!(bytes, expected);
            assert!(bytes.len() <= CLOSE_BYTES_MAX);
            for at in 0..bytes.len() {
                let mut tracker = Frames::new(masking);
                tracker.push(&bytes[..at]);
                assert!(!tracker.is_closed());
                tracker.push(&bytes[at..]);
                assert!(tracker.is_closed() && !tracker.is_at_boundary());
                tracker.push(&[0x81, 0]);
                assert!(tracker.is_closed(), "nothing counts after it");
            }
        }
    }

    #[test]
    fn only_a_switch_to_it_is_a_websocket() {
        let mut fields = Fields::new();
        assert!(!is_websocket(b"websocket", &fields));
        fields.push("Sec-WebSocket-Accept", b"x").unwrap();
        assert!(is_websocket(b"WebSocket", &fields));
        assert!(!is_websocket(b"echo", &fields));
        assert!(!is_websocket(b"websocket, echo", &fields));
    }
}
