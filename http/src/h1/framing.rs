//! What the fields of a head mean together: where the body ends (RFC 9112, 6.3), whether the connection lives
//! on (9.3), which host is meant (3.2), what is expected and what it would become. Two answers to one
//! question are refused.

use crate::error::HeadError;
use crate::fields::{Fields, Known, elements};
use crate::head::{Framing, Method, Persistence, RequestHead, ResponseHead, Version};
use crate::target;

/// Options that `Connection` may list, over all its lines.
pub const CONNECTION_OPTIONS_MAX: usize = 64;

/// Decides everything about a request whose line and fields are parsed.
pub(super) fn request(head: &mut RequestHead) -> Result<(), HeadError> {
    take_host(head)?;
    let coding = coding(&head.fields)?;
    let length = length(&head.fields)?;
    head.framing = match (coding, length) {
        (Some(_), Some(_)) => return Err(HeadError::FramingBoth),
        // RFC 9112, 6.1: an HTTP/1.0 sender does not know what it says.
        (Some(_), None) if head.version == Version::Http10 => return Err(HeadError::CodingForbidden),
        (Some(Chunked), None) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::None,
    };
    let options = ConnectionOptions::of(&head.fields)?;
    head.persistence = options.persistence(head.version);
    // RFC 9110, 7.8 and 10.1.1: HTTP/1.0 has neither upgrades nor expectations.
    if head.version == Version::Http11 {
        let expects = expects_continue(&head.fields)?;
        head.expects_continue = expects && !matches!(head.framing, Framing::None | Framing::Length(0));
        if options.upgrade {
            take_upgrade(&head.fields, &mut head.upgrade);
        }
    }
    Ok(())
}

/// Decides everything about a response to `request_method` whose line and fields are parsed.
pub(super) fn response(head: &mut ResponseHead, request_method: Method) -> Result<(), HeadError> {
    let coding = coding(&head.fields)?;
    let length = length(&head.fields)?;
    if coding.is_some() && length.is_some() {
        return Err(HeadError::FramingBoth);
    }
    // RFC 9112, 6.1: a 1xx with a coding would put chunks before the final response.
    if coding.is_some() && (head.version == Version::Http10 || head.status < 200) {
        return Err(HeadError::CodingForbidden);
    }
    head.persistence = ConnectionOptions::of(&head.fields)?.persistence(head.version);
    let success = (200..300).contains(&head.status);
    head.framing = match head.status {
        // A sender that announces a body may also send it: then what follows is not the next response.
        204 if coding.is_some() || length.is_some_and(|length| length > 0) => {
            head.persistence = Persistence::Close;
            Framing::None
        }
        100..=199 | 204 | 304 => Framing::None,
        _ if request_method == Method::Head || (request_method == Method::Connect && success) => {
            Framing::None
        }
        _ => match (coding, length) {
            (Some(Chunked), _) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length),
            (None, None) => {
                head.persistence = Persistence::Close;
                Framing::UntilClose
            }
        },
    };
    Ok(())
}

/// The one transfer coding there is.
#[derive(Clone, Copy)]
struct Chunked;

/// `chunked`, or no transfer coding at all (RFC 9112, 6.1).
fn coding(fields: &Fields) -> Result<Option<Chunked>, HeadError> {
    if !fields.has(Known::TransferEncoding) {
        return Ok(None);
    }
    let mut others = false;
    let mut chunked = 0;
    let mut last_is_chunked = false;
    for element in fields.known_all(Known::TransferEncoding).flat_map(elements) {
        last_is_chunked = element.eq_ignore_ascii_case(b"chunked");
        chunked += usize::from(last_is_chunked);
        // RFC 9112, 7: `identity` is no coding any more, and an empty element hides one.
        if element.is_empty() || element.eq_ignore_ascii_case(b"identity") {
            return Err(HeadError::Coding);
        }
        others |= !last_is_chunked;
    }
    match (last_is_chunked, chunked, others) {
        (true, 1, false) => Ok(Some(Chunked)),
        (true, 1, true) => Err(HeadError::CodingUnknown),
        _ => Err(HeadError::Coding),
    }
}

/// The one stated length, if any (RFC 9110, 8.6): decimal digits and nothing else, zeros in front allowed.
#[inline]
pub(crate) fn length(fields: &Fields) -> Result<Option<u64>, HeadError> {
    let mut values = fields.known_all(Known::ContentLength);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HeadError::LengthRepeated);
    }
    if value.is_empty() {
        return Err(HeadError::Length);
    }
    let mut length = 0u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(HeadError::Length);
        }
        let next = length.checked_mul(10).and_then(|length| length.checked_add(u64::from(byte - b'0')));
        length = next.ok_or(HeadError::Length)?;
    }
    Ok(Some(length))
}

/// What `Connection` says, as far as it matters here.
#[derive(Default)]
struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl ConnectionOptions {
    fn of(fields: &Fields) -> Result<Self, HeadError> {
        let mut options = Self::default();
        let mut count = 0;
        for option in fields.known_all(Known::Connection).flat_map(elements) {
            options.close |= option.eq_ignore_ascii_case(b"close");
            options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            options.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            count += 1;
        }
        // Each option is looked for among all fields when they are removed: the product has to stay small.
        if count > CONNECTION_OPTIONS_MAX { Err(HeadError::ConnectionOptions) } else { Ok(options) }
    }

    /// RFC 9112, 9.3.
    fn persistence(&self, version: Version) -> Persistence {
        let lives = match version {
            Version::Http11 | Version::Http2 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        };
        if lives { Persistence::KeepAlive } else { Persistence::Close }
    }
}

/// Checks `Host` and settles the authority: that of the target if it has one, which then also replaces `Host`
/// (RFC 9112, 3.2.2).
fn take_host(head: &mut RequestHead) -> Result<(), HeadError> {
    let RequestHead { fields, authority, host, version, .. } = head;
    let (first, second) = {
        let mut hosts = fields.known_all(Known::Host);
        (hosts.next(), hosts.next())
    };
    if second.is_some() {
        return Err(HeadError::HostRepeated);
    }
    let from_target = !authority.is_empty();
    let replaced = match first {
        None if *version == Version::Http11 => return Err(HeadError::HostMissing),
        None => from_target,
        Some(value) => {
            let text = std::str::from_utf8(value).map_err(|_| HeadError::HostInvalid)?;
            let known = host.len();
            target::split_authority(text, host).map_err(|_| HeadError::HostInvalid)?;
            if from_target {
                host.truncate(known);
            } else {
                authority.push_str(text);
            }
            from_target && text != authority
        }
    };
    if replaced {
        fields.set_known(Known::Host, authority.as_bytes()).map_err(|_| HeadError::HostInvalid)?;
    }
    Ok(())
}

/// Whether `100-continue` is expected. Any other expectation cannot be met (RFC 9110, 10.1.1).
#[inline]
pub(crate) fn expects_continue(fields: &Fields) -> Result<bool, HeadError> {
    let mut expectations = fields.known_all(Known::Expect).flat_map(elements);
    if !expectations.all(|expectation| expectation.eq_ignore_ascii_case(b"100-continue")) {
        return Err(HeadError::Expectation);
    }
    Ok(fields.has(Known::Expect))
}

/// Joins what `Upgrade` asks for, unless it would lead to another version of HTTP.
fn take_upgrade(fields: &Fields, upgrade: &mut Vec<u8>) {
    for value in fields.known_all(Known::Upgrade).filter(|value| !value.is_empty()) {
        if !upgrade.is_empty() {
            upgrade.extend_from_slice(b", ");
        }
        upgrade.extend_from_slice(value);
    }
    let leads_to_http = |protocol: &[u8]| {
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
        [&b"h2c"[..], b"h2", b"h3", b"http"].iter().any(|http| name.eq_ignore_ascii_case(http))
    };
    if elements(upgrade).any(leads_to_http) {
        upgrade.clear();
    }
}
