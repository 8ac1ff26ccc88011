//! HTTP/1.1 towards the client: one exchange after the other, as long as they come.

use std::rc::Rc;
use std::time::Duration;

use ringway_config::snapshot::Limits;
use ringway_http::h1::HeadReader;

use super::proxy_protocol::{self, Proxied};
use super::{After, Connection};
use crate::clock::Moment;
use crate::error::Fault;
use crate::exchange::{self, Opening};
use crate::net::NetError;
use crate::worker::{Local, Scratch};

/// Serves exchanges, from the first that began then, for as long as their bytes are there already. Also says when the
/// last one ended.
pub(super) async fn busy(
    local: &Rc<Local>,
    connection: &mut Connection,
    mut began: Option<Moment>,
) -> (After, Moment) {
    loop {
        let mut scratch = local.scratches.take(&local.timers);
        let after = one(local, connection, &mut scratch, began.take()).await;
        local.scratches.give(scratch);
        let now = local.now();
        if after != After::KeepAlive {
            return (after, now);
        }
        if local.cut.get() {
            return (After::Close, now);
        }
        connection.stay.entry.rested.set(now);
        if connection.input.is_empty() {
            return (After::KeepAlive, now);
        }
    }
}

/// One exchange, from its first byte.
async fn one(
    local: &Rc<Local>,
    connection: &mut Connection,
    scratch: &mut Scratch,
    began: Option<Moment>,
) -> After {
    // The first bytes may have come with a PROXY header, and no wait have been needed.
    connection.stay.entry.idle.set(false);
    connection.stay.entry.fresh.set(false);
    let (plan, listener) = connection.stay.entry.listener.place();
    let Some(limits) = plan.snapshot.listeners.get(listener.0 as usize).map(|spec| spec.limits) else {
        return After::Close;
    };
    let began = began.unwrap_or_else(|| local.now());
    // The first request's time runs from the accept: a client that sends nothing must not live longer for it.
    let limit_from = if connection.served == 0 { connection.accepted } else { began };
    connection.set_deadline(local, limit_from.after(limits.header_timeout));
    let may_be_http2 = connection.served == 0 && connection.may_speak_http2();
    let head = match read_head(connection, &limits, scratch, may_be_http2).await {
        Head::Complete => Ok(()),
        Head::Refused(fault) => Err(fault),
        Head::Gone => return After::Close,
        Head::Http2 => return After::Http2,
    };
    connection.served += 1;
    let opening = Opening { plan, listener, began, limits };
    match head {
        Ok(()) => exchange::run(local, connection, scratch, opening).await,
        Err(fault) => exchange::refuse(local, connection, scratch, opening, fault).await,
    }
}

enum Head {
    Complete,
    /// The preface of HTTP/2 is in the input (RFC 9113, 3.4).
    Http2,
    Refused(Fault),
    /// The client left before a whole head: nobody is there to answer.
    Gone,
}

/// What an HTTP/2 client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether what was taken for a request line ends in a word that is no protocol's version. Its sender would not
/// understand an answer; where HTTP/2 is spoken, that is a connection error (RFC 9113, 3.4).
fn is_another_protocol(input: &[u8]) -> bool {
    let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if !line.is_ascii() || line.iter().any(|&byte| byte != b'\r' && byte.is_ascii_control()) {
        return false;
    }
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
    let last = words.by_ref().nth(2);
    last.is_some_and(|word| !word.is_empty() && !word.contains(&b'/')) && words.next().is_none()
}

async fn read_head(
    connection: &mut Connection,
    limits: &Limits,
    scratch: &mut Scratch,
    may_be_http2: bool,
) -> Head {
    let mut reader = HeadReader::new();
    loop {
        if may_be_http2 && connection.input.filled().starts_with(PREFACE) {
            return Head::Http2;
        }
        let may_become_http2 = may_be_http2 && PREFACE.starts_with(connection.input.filled());
        if !connection.input.is_empty() && !may_become_http2 {
            match reader.request(connection.input.filled(), &limits.head, &mut scratch.request) {
                Ok(Some(consumed)) => {
                    connection.input.consume(consumed);
                    if connection.input.is_empty() {
                        drop(std::mem::take(&mut connection.input));
                    }
                    return Head::Complete;
                }
                Ok(None) => {}
                // First: what a hello holds may look like anything.
                Err(_) if connection.served == 0 && is_tls(connection.input.filled()) => {
                    return Head::Refused(Fault::TlsOnPlain);
                }
                Err(_) if may_be_http2 && is_another_protocol(connection.input.filled()) => {
                    return Head::Gone;
                }
                Err(error) => return Head::Refused(Fault::Head(error)),
            }
        }
        match connection.reader.recv(&connection.stay.entry.deadline).await {
            Ok(Some(more)) => connection.input.absorb(more),
            Ok(None) | Err(NetError::Io(_)) => return Head::Gone,
            Err(NetError::TimedOut) if connection.input.is_empty() => return Head::Gone,
            Err(NetError::TimedOut) => return Head::Refused(Fault::HeaderTimeout),
        }
    }
}

/// Whether this is how a TLS client begins: a record of its handshake (RFC 8446, 5.1).
fn is_tls(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x16, 0x03])
}

/// Reads the PROXY header that the listener demands. `None`: it is missing, malformed, late, or from somebody
/// untrusted.
pub(super) async fn proxy_header(
    local: &Local,
    connection: &mut Connection,
    header_timeout: Duration,
) -> Option<()> {
    // Who may reach a Unix socket is decided by its folder's permissions.
    let unix = connection.peer_ip.is_unspecified();
    if !connection.trusted && !unix {
        return None;
    }
    connection.set_deadline(local, connection.accepted.after(header_timeout));
    loop {
        match proxy_protocol::parse(connection.input.filled()) {
            Ok(Some((consumed, proxied))) => {
                connection.input.consume(consumed);
                if let Proxied::Addresses { source, .. } = proxied {
                    connection.peer_ip = source.ip().to_canonical();
                    connection.trusted = local.plan().snapshot.server.trusts(connection.peer_ip);
                }
                return Some(());
            }
            Ok(None) => {}
            Err(_) => return None,
        }
        let more = connection.reader.recv(&connection.stay.entry.deadline).await.ok()??;
        connection.input.absorb(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_of_three_words_without_a_version_is_another_protocols() {
        assert!(is_another_protocol(b"INVALID CONNECTION PREFACE\r\n\r\n"));
        for line in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"GET / http/1.1\r\n",
            b"GET /\r\n",
            b"GET / \r\n",
            b"GET / a b\r\n",
            b"",
            // A hello whose random bytes are as unlucky as can be.
            b"\x16\x03\x01 a b\n",
            b"G\xff a b\n",
        ] {
            assert!(!is_another_protocol(line), "{}", line.escape_ascii());
        }
    }
}
