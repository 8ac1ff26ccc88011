//! The PROXY protocol, versions 1 and 2: who the client behind a balancer is. Sans IO: bytes in, addresses out.
//!
//! Strict: a header that is not exactly as the specification has it is an error, and the connection is to be
//! closed. The caller decides from whom a header is accepted at all, and that one is demanded there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Version 1 is at most this long, line end included.
const V1_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;
/// What may follow the fixed part: addresses and additions.
const V2_REST_MAX: usize = 4096;
/// The addition that holds a checksum of the header.
const TYPE_CRC32C: u8 = 0x03;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// The balancer speaks for itself (a health check): the connection's own addresses hold.
    Local,
    /// The client's address, and the one that it connected to.
    Addresses {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// A client whose address is not TCP over IP (`UNKNOWN`, UDP, a Unix socket, an unknown family).
    Unspecified,
}

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The first bytes are of neither version.
    #[error("no PROXY header")]
    Missing,
    /// Version 1 without an end in its 107 bytes.
    #[error("PROXY header line of more than 107 bytes")]
    LineTooLong,
    /// Version 1: wrong words, addresses or ports.
    #[error("malformed PROXY header line")]
    Line,
    /// A version that is not 2, or an unknown command.
    #[error("unknown PROXY version or command")]
    Version,
    /// Version 2 that announces more than 4,096 bytes.
    #[error("PROXY header of more than 4,096 bytes")]
    TooLong,
    /// Addresses or additions that do not fit into the length.
    #[error("truncated PROXY header")]
    Truncated,
    /// The checksum is wrong.
    #[error("PROXY header with a wrong checksum")]
    Checksum,
}

/// Looks at the first bytes of a connection. `None`: more are needed (never more than 4,112). Otherwise how long
/// the header was, and what it says.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Proxied)>, ProxyError> {
    if starts_alike(bytes, V2_SIGNATURE) {
        if bytes.len() < V2_FIXED { first_bytes_of_v2(bytes) } else { parse_v2(bytes) }
    } else if starts_alike(bytes, V1_START) {
        parse_v1(bytes)
    } else {
        Err(ProxyError::Missing)
    }
}

/// Whether one is the start of the other.
fn starts_alike(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(one, other)| one == other)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<(usize, Proxied)>, ProxyError> {
    let window = bytes.get(..V1_MAX).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| *byte == b'\r' || *byte == b'\n') else {
        return if window.len() < V1_MAX { Ok(None) } else { Err(ProxyError::LineTooLong) };
    };
    match (window.get(end), window.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => {}
        (Some(b'\r'), None) if window.len() < V1_MAX => return Ok(None),
        (Some(b'\r'), None) => return Err(ProxyError::LineTooLong),
        _ => return Err(ProxyError::Line),
    }
    let line = window.get(V1_START.len()..end).ok_or(ProxyError::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Line)?;
    Ok(Some((end + 2, line_of_v1(line)?)))
}

/// What follows `PROXY `.
fn line_of_v1(line: &str) -> Result<Proxied, ProxyError> {
    let mut words = line.split(' ');
    let family = words.next().ok_or(ProxyError::Line)?;
    if family == "UNKNOWN" {
        // Anything may follow, and is not to be believed.
        return Ok(Proxied::Unspecified);
    }
    let mut word = || words.next().ok_or(ProxyError::Line);
    let (source, destination) = (word()?, word()?);
    let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(ProxyError::Line);
    }
    let ip = |text: &str| -> Result<IpAddr, ProxyError> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| ProxyError::Line),
            "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| ProxyError::Line),
            _ => Err(ProxyError::Line),
        }
    };
    Ok(Proxied::Addresses {
        source: SocketAddr::new(ip(source)?, source_port),
        destination: SocketAddr::new(ip(destination)?, destination_port),
    })
}

/// A port: digits without a leading zero.
fn port(text: &str) -> Result<u16, ProxyError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(ProxyError::Line);
    }
    text.parse().map_err(|_| ProxyError::Line)
}

/// Refuses early what the fixed part's first bytes make impossible.
fn first_bytes_of_v2(bytes: &[u8]) -> Result<Option<(usize, Proxied)>, ProxyError> {
    match bytes.get(12) {
        Some(0x20 | 0x21) | None => Ok(None),
        Some(_) => Err(ProxyError::Version),
    }
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(usize, Proxied)>, ProxyError> {
    let (fixed, rest) = bytes.split_at_checked(V2_FIXED).ok_or(ProxyError::Truncated)?;
    let [.., command, family, high, low] = *fixed else { return Err(ProxyError::Truncated) };
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyError::Version);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_REST_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(rest) = rest.get(..length) else { return Ok(None) };
    let consumed = V2_FIXED + length;
    if command == 0x20 {
        // Of a header that speaks for nobody, family and addresses are to be ignored, whatever they are.
        return Ok(Some((consumed, Proxied::Local)));
    }
    // Family and transport; the addresses' size is the family's, whatever the transport.
    let size = match family >> 4 {
        0x1 => 12,
        0x2 => 36,
        0x3 => 216,
        _ => 0,
    };
    let (addresses, additions) = rest.split_at_checked(size).ok_or(ProxyError::Truncated)?;
    // Of an unknown family nobody knows where the addresses end.
    if size > 0 {
        check_additions(bytes.get(..consumed).unwrap_or_default(), additions)?;
    }
    let proxied = match family {
        0x11 => pair::<4>(addresses)?,
        0x21 => pair::<16>(addresses)?,
        _ => Proxied::Unspecified,
    };
    Ok(Some((consumed, proxied)))
}

/// Two addresses of `N` bytes, two ports.
fn pair<const N: usize>(bytes: &[u8]) -> Result<Proxied, ProxyError>
where
    IpAddr: From<[u8; N]>,
{
    let truncated = ProxyError::Truncated;
    let (source, rest) = bytes.split_first_chunk::<N>().ok_or(truncated)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(truncated)?;
    let (source_port, rest) = rest.split_first_chunk::<2>().ok_or(truncated)?;
    let (destination_port, _) = rest.split_first_chunk::<2>().ok_or(truncated)?;
    let socket = |ip: [u8; N], port: [u8; 2]| SocketAddr::new(IpAddr::from(ip), u16::from_be_bytes(port));
    Ok(Proxied::Addresses {
        source: socket(*source, *source_port),
        destination: socket(*destination, *destination_port),
    })
}

/// Walks the additions (type, length, value), which must fill their place exactly, and checks the checksum where
/// there is one.
fn check_additions(header: &[u8], mut additions: &[u8]) -> Result<(), ProxyError> {
    while !additions.is_empty() {
        let ([kind, high, low], rest) = additions.split_first_chunk::<3>().ok_or(ProxyError::Truncated)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(length).ok_or(ProxyError::Truncated)?;
        if *kind == TYPE_CRC32C {
            let expected: [u8; 4] = value.try_into().map_err(|_| ProxyError::Checksum)?;
            let place = header.len() - rest.len();
            if crc32c_without(header, place..place + 4) != u32::from_be_bytes(expected) {
                return Err(ProxyError::Checksum);
            }
        }
        additions = next;
    }
    Ok(())
}

/// CRC32C of the header, with the checksum's own place taken as zeros.
fn crc32c_without(header: &[u8], place: std::ops::Range<usize>) -> u32 {
    let bytes = header.iter().enumerate().map(|(at, byte)| if place.contains(&at) { 0 } else { *byte });
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(source: &str, destination: &str) -> Proxied {
        Proxied::Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    const V4: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 0x00, 0x50];

    fn valid() -> Vec<(Vec<u8>, Proxied)> {
        let mut v6 = Vec::new();
        v6.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        v6.extend("::1".parse::<Ipv6Addr>().unwrap().octets());
        v6.extend([0, 1, 0xff, 0xff]);
        let mut with_additions = V4.to_vec();
        with_additions.extend([0x01, 0, 2, b'h', b'2', 0x04, 0, 0]);
        let mut longest = b"PROXY UNKNOWN ".to_vec();
        longest.extend([b'x'; V1_MAX - 16]);
        longest.extend(b"\r\n");
        assert_eq!(longest.len(), V1_MAX);
        vec![
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 8080 80\r\n".to_vec(), addresses("10.0.0.1:8080", "10.0.0.2:80")),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n".to_vec(), addresses("1.2.3.4:0", "5.6.7.8:65535")),
            (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(), addresses("[2001:db8::1]:1", "[::1]:65535")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Proxied::Unspecified),
            (b"PROXY UNKNOWN ffff::1 ::1 1 1\r\n".to_vec(), Proxied::Unspecified),
            (longest, Proxied::Unspecified),
            (v2(0x21, 0x11, &V4), addresses("10.0.0.1:8080", "10.0.0.2:80")),
            (v2(0x21, 0x21, &v6), addresses("[2001:db8::1]:1", "[::1]:65535")),
            (v2(0x21, 0x11, &with_additions), addresses("10.0.0.1:8080", "10.0.0.2:80")),
            (v2(0x21, 0x12, &V4), Proxied::Unspecified),
            (v2(0x21, 0x31, &[0; 216]), Proxied::Unspecified),
            (v2(0x21, 0x00, b"whatever it is"), Proxied::Unspecified),
            (v2(0x21, 0x71, b""), Proxied::Unspecified),
            (v2(0x20, 0x00, b""), Proxied::Local),
            (v2(0x20, 0x21, &V4), Proxied::Local),
        ]
    }

    #[test]
    fn every_valid_header_is_read_at_every_split_and_nothing_beyond_it() {
        for (header, expected) in valid() {
            for split in 0..header.len() {
                assert_eq!(
                    parse(&header[..split]),
                    Ok(None),
                    "{:?}",
                    header[..split].escape_ascii().to_string()
                );
            }
            let mut more = header.clone();
            for _ in 0..2 {
                assert_eq!(parse(&more), Ok(Some((header.len(), expected))));
                more.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            }
        }
    }

    #[test]
    fn what_is_not_a_header_is_refused() {
        let mut long = b"PROXY UNKNOWN ".to_vec();
        long.extend([b'x'; 200]);
        let mut barely = b"PROXY UNKNOWN ".to_vec();
        barely.extend([b'x'; V1_MAX - 15]);
        barely.extend(b"\r\n");
        let mut bad_addition = V4.to_vec();
        bad_addition.extend([0x01, 0, 9, b'h']);
        let mut short_addition = V4.to_vec();
        short_addition.push(0x01);
        for (bytes, error) in [
            (b"GET / HTTP/1.1\r\n".to_vec(), ProxyError::Missing),
            (b"proxy TCP4 1.2.3.4 5.6.7.8 1 1\r\n".to_vec(), ProxyError::Missing),
            (b"\r\n\r\n\0\r\nQUIX".to_vec(), ProxyError::Missing),
            (b"PROXY \r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP5 1.2.3.4 5.6.7.8 1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 1 \r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.256 5.6.7.8 1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 01.2.3.4 5.6.7.8 1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 ::1 ::1 1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 1\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 1\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 1\rX".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \xff\r\n".to_vec(), ProxyError::Line),
            (long, ProxyError::LineTooLong),
            (barely, ProxyError::LineTooLong),
            (v2(0x11, 0x11, &V4), ProxyError::Version),
            (v2(0x22, 0x11, &V4), ProxyError::Version),
            (v2(0x21, 0x11, &V4[..11]), ProxyError::Truncated),
            (v2(0x21, 0x31, &[0; 215]), ProxyError::Truncated),
            (v2(0x21, 0x11, &bad_addition), ProxyError::Truncated),
            (v2(0x21, 0x11, &short_addition), ProxyError::Truncated),
            (v2(0x21, 0x11, &[0; V2_REST_MAX + 1]), ProxyError::TooLong),
        ] {
            assert_eq!(parse(&bytes), Err(error), "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_checksum_is_checked_where_there_is_one() {
        assert_eq!(crc32c_without(b"123456789", 0..0), 0xe306_9283);
        let mut rest = V4.to_vec();
        rest.extend([0x01, 0, 1, b'x', TYPE_CRC32C, 0, 4, 0, 0, 0, 0, 0x04, 0, 1, 0]);
        let mut header = v2(0x21, 0x11, &rest);
        let place = V2_FIXED + 12 + 4 + 3;
        assert_eq!(parse(&header), Err(ProxyError::Checksum));
        let sum = crc32c_without(&header, place..place + 4);
        header[place..place + 4].copy_from_slice(&sum.to_be_bytes());
        assert!(matches!(parse(&header), Ok(Some((_, Proxied::Addresses { .. })))));
        header[V2_FIXED] ^= 1;
        assert_eq!(parse(&header), Err(ProxyError::Checksum));
        let mut wrong_size = V4.to_vec();
        wrong_size.extend([TYPE_CRC32C, 0, 3, 0, 0, 0]);
        assert_eq!(parse(&v2(0x21, 0x11, &wrong_size)), Err(ProxyError::Checksum));
    }

    #[test]
    fn no_input_panics_or_waits_for_more_than_the_bound() {
        // A xorshift generator: the same inputs on every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let seeds = valid();
        for _ in 0..20_000 {
            let (seed, _) = &seeds[usize::try_from(random()).unwrap() % seeds.len()];
            let mut bytes = seed.clone();
            for _ in 0..random() % 4 {
                let at = usize::try_from(random()).unwrap() % bytes.len();
                bytes[at] = random().to_le_bytes()[0];
            }
            if let Ok(Some((consumed, _))) = parse(&bytes) {
                assert!(consumed <= bytes.len());
            }
            bytes.resize(V2_FIXED + V2_REST_MAX, b'x');
            assert_ne!(parse(&bytes), Ok(None));
        }
    }
}
