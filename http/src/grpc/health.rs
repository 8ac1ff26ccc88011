//! The messages of `grpc.health.v1.Health/Check`, by which a gRPC service says how it is.
//!
//! ```text
//! message HealthCheckRequest  { string service = 1; }
//! message HealthCheckResponse { ServingStatus status = 1; }
//! ```

use std::fmt;

/// Where the call goes.
pub const PATH: &str = "/grpc.health.v1.Health/Check";
/// Bytes of a service's name.
pub const SERVICE_BYTES_MAX: usize = 1024;
/// Bytes of a message. One that says more than these calls need is read as far as it goes, and no further.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes before a message: whether it is compressed, and its length.
pub const PREFIX_BYTES: usize = 5;

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It does not know.
    Unknown,
    /// It serves.
    Serving,
    /// It does not.
    NotServing,
    /// There is no such service.
    ServiceUnknown,
    /// A word that this protocol did not have.
    Other(u64),
}

/// A message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// The bytes end before the message does, or go on after it.
    #[error("the message is not as long as it says")]
    Length,
    /// The message is over [`MESSAGE_BYTES_MAX`], or a name over [`SERVICE_BYTES_MAX`].
    #[error("the message is too long")]
    TooLong,
    /// It is compressed, which was not asked for.
    #[error("the message is compressed")]
    Compressed,
    /// It is no message of protocol buffers, or a field has another type than it should.
    #[error("malformed message")]
    Malformed,
}

/// The types of fields (protocol buffers' wire types).
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;
/// The number of the one field that each message has.
const FIELD: u64 = 1;

/// Appends a request about a service, with its prefix; the empty name asks about the endpoint as a whole.
pub fn write_request(service: &str, out: &mut Vec<u8>) -> Result<(), HealthError> {
    if service.len() > SERVICE_BYTES_MAX {
        return Err(HealthError::TooLong);
    }
    let mut message = Vec::with_capacity(service.len() + 4);
    if !service.is_empty() {
        push_varint(FIELD << 3 | BYTES, &mut message);
        push_varint(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    push_message(&message, out)
}

/// Appends a response, with its prefix.
pub fn write_response(serving: Serving, out: &mut Vec<u8>) -> Result<(), HealthError> {
    let mut message = Vec::new();
    let value = serving.value();
    if value != 0 {
        push_varint(FIELD << 3 | VARINT, &mut message);
        push_varint(value, &mut message);
    }
    push_message(&message, out)
}

/// Reads a request, prefix included: the service's name.
pub fn read_request(bytes: &[u8]) -> Result<&str, HealthError> {
    let mut message = message(bytes)?;
    let mut service: &[u8] = b"";
    while let Some((number, value)) = field(&mut message)? {
        match (number, value) {
            (FIELD, Value::Bytes(name)) => service = name,
            (FIELD, Value::Varint(_) | Value::Fixed) => return Err(HealthError::Malformed),
            _ => {}
        }
    }
    if service.len() > SERVICE_BYTES_MAX {
        return Err(HealthError::TooLong);
    }
    std::str::from_utf8(service).map_err(|_| HealthError::Malformed)
}

/// Reads a response, prefix included.
pub fn read_response(bytes: &[u8]) -> Result<Serving, HealthError> {
    let mut message = message(bytes)?;
    let mut serving = Serving::Unknown;
    while let Some((number, value)) = field(&mut message)? {
        match (number, value) {
            (FIELD, Value::Varint(value)) => serving = Serving::of(value),
            (FIELD, Value::Bytes(_) | Value::Fixed) => return Err(HealthError::Malformed),
            _ => {}
        }
    }
    Ok(serving)
}

impl fmt::Display for Serving {
    /// The protocol's own word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("UNKNOWN"),
            Self::Serving => f.write_str("SERVING"),
            Self::NotServing => f.write_str("NOT_SERVING"),
            Self::ServiceUnknown => f.write_str("SERVICE_UNKNOWN"),
            Self::Other(number) => number.fmt(f),
        }
    }
}

impl Serving {
    fn of(value: u64) -> Self {
        match value {
            0 => Self::Unknown,
            1 => Self::Serving,
            2 => Self::NotServing,
            3 => Self::ServiceUnknown,
            other => Self::Other(other),
        }
    }

    fn value(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Serving => 1,
            Self::NotServing => 2,
            Self::ServiceUnknown => 3,
            Self::Other(other) => other,
        }
    }
}

/// What a field holds, as far as these messages care.
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

fn push_message(message: &[u8], out: &mut Vec<u8>) -> Result<(), HealthError> {
    let length = u32::try_from(message.len()).map_err(|_| HealthError::TooLong)?;
    out.push(0);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    Ok(())
}

/// The message behind its prefix, which is all that there is.
fn message(bytes: &[u8]) -> Result<&[u8], HealthError> {
    let Some((&[flag, a, b, c, d], message)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(HealthError::Length);
    };
    match flag {
        0 => {}
        1 => return Err(HealthError::Compressed),
        _ => return Err(HealthError::Malformed),
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        return Err(HealthError::TooLong);
    }
    if message.len() == length { Ok(message) } else { Err(HealthError::Length) }
}

/// Takes the next field off a message.
fn field<'a>(message: &mut &'a [u8]) -> Result<Option<(u64, Value<'a>)>, HealthError> {
    if message.is_empty() {
        return Ok(None);
    }
    let tag = varint(message)?;
    let value = match tag & 7 {
        VARINT => Value::Varint(varint(message)?),
        FIXED_64 => skip(message, 8)?,
        FIXED_32 => skip(message, 4)?,
        BYTES => {
            let length = usize::try_from(varint(message)?).map_err(|_| HealthError::Malformed)?;
            Value::Bytes(take(message, length)?)
        }
        _ => return Err(HealthError::Malformed),
    };
    match tag >> 3 {
        0 => Err(HealthError::Malformed),
        number => Ok(Some((number, value))),
    }
}

fn skip<'a>(message: &mut &'a [u8], bytes: usize) -> Result<Value<'a>, HealthError> {
    take(message, bytes).map(|_| Value::Fixed)
}

fn take<'a>(message: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], HealthError> {
    let (taken, rest) = message.split_at_checked(bytes).ok_or(HealthError::Malformed)?;
    *message = rest;
    Ok(taken)
}

/// Takes a number: seven bits a byte, the lowest first, in at most ten bytes.
fn varint(message: &mut &[u8]) -> Result<u64, HealthError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or(HealthError::Malformed)?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HealthError::Malformed)
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_protocol_buffers() {
        let mut request = Vec::new();
        write_request("pay", &mut request).unwrap();
        assert_eq!(request, b"\0\0\0\0\x05\x0a\x03pay");
        assert_eq!(read_request(&request), Ok("pay"));
        let mut whole = Vec::new();
        write_request("", &mut whole).unwrap();
        assert_eq!(whole, b"\0\0\0\0\0");
        assert_eq!(read_request(&whole), Ok(""));
        let mut response = Vec::new();
        write_response(Serving::Serving, &mut response).unwrap();
        assert_eq!(response, b"\0\0\0\0\x02\x08\x01");
        for serving in [
            Serving::Unknown,
            Serving::Serving,
            Serving::NotServing,
            Serving::ServiceUnknown,
            Serving::Other(300),
            Serving::Other(u64::MAX),
        ] {
            let mut out = Vec::new();
            write_response(serving, &mut out).unwrap();
            assert_eq!(read_response(&out), Ok(serving));
        }
    }

    #[test]
    fn fields_that_are_not_known_are_skipped_and_the_last_one_counts() {
        let message = b"\0\0\0\0\x18\x08\x02\x12\x02ab\x19abcdefgh\x25abcd\x98\x01\x7f\x08\x01";
        let mut message = message.to_vec();
        message[4] = u8::try_from(message.len() - PREFIX_BYTES).unwrap();
        assert_eq!(read_response(&message), Ok(Serving::Serving));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (bytes, error) in [
            (&b""[..], HealthError::Length),
            (b"\0\0\0\0", HealthError::Length),
            (b"\0\0\0\0\x02\x08", HealthError::Length),
            (b"\0\0\0\0\x02\x08\x01\x00", HealthError::Length),
            (b"\x01\0\0\0\0", HealthError::Compressed),
            (b"\x02\0\0\0\0", HealthError::Malformed),
            (b"\x80\0\0\0\0", HealthError::Malformed),
            (b"\0\0\0\0\x01\x08", HealthError::Malformed),
            (b"\0\0\0\0\x02\x00\x01", HealthError::Malformed),
            (b"\0\0\0\0\x02\x0b\x01", HealthError::Malformed),
            (b"\0\0\0\0\x03\x0a\x01a", HealthError::Malformed),
            (b"\0\0\0\0\x02\x12\x01", HealthError::Malformed),
            (b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", HealthError::Malformed),
        ] {
            assert_eq!(read_response(bytes), Err(error), "{bytes:?}");
        }
        assert_eq!(read_request(b"\0\0\0\0\x02\x08\x01"), Err(HealthError::Malformed));
        assert_eq!(read_request(b"\0\0\0\0\x03\x0a\x01\xff"), Err(HealthError::Malformed));
    }

    #[test]
    fn names_and_messages_have_limits() {
        let mut out = Vec::new();
        let name = "s".repeat(SERVICE_BYTES_MAX);
        write_request(&name, &mut out).unwrap();
        assert_eq!(read_request(&out), Ok(name.as_str()));
        let longer = "s".repeat(SERVICE_BYTES_MAX + 1);
        assert_eq!(write_request(&longer, &mut out), Err(HealthError::TooLong));
        let mut message = b"\0\0\0\x04\x06\x0a\x81\x08".to_vec();
        message.extend_from_slice(longer.as_bytes());
        message[4] = 4;
        assert_eq!(read_request(&message), Err(HealthError::TooLong));

        for (length, expected) in
            [(MESSAGE_BYTES_MAX, Ok(Serving::Unknown)), (MESSAGE_BYTES_MAX + 1, Err(HealthError::TooLong))]
        {
            let mut message = vec![0];
            message.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
            message.extend_from_slice(&[0x12]);
            push_varint(length as u64 - 3, &mut message);
            message.resize(PREFIX_BYTES + length, b'x');
            assert_eq!(read_response(&message), expected, "{length}");
        }
    }
}
