//! The TLS handshake with a client, before anything else is heard of it.

use aws_lc_rs::digest::{SHA256, digest};
use ringway_config::tls::{ListenerTls, client_identity};
use rustls::pki_types::{CertificateDer, UnixTime};

use std::rc::Rc;

use super::{Connection, linger};
use crate::clock;
use crate::log::{Level, say};
use crate::net::tls::{self, Alpn, Negotiated, Protocol, TlsError};
use crate::net::{Buffer, Buffers};
use crate::shard::Count;
use crate::wire::{Inlet, Outlet};
use crate::worker::Local;

/// What is known of a client's TLS.
pub(crate) struct Secured {
    /// The version.
    pub(crate) protocol: Protocol,
    /// Whether an earlier session went on.
    pub(crate) resumed: bool,
    /// The name that the client asked for, in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// How long the handshake took.
    pub(crate) handshake_us: u32,
    /// The client has shown a certificate, and it was verified.
    pub(crate) has_certificate: bool,
    /// What upstreams are told of it, where they are.
    pub(crate) identity: Option<Box<[u8]>>,
}

/// What a client that speaks plain HTTP on a TLS port gets.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 88\r\nConnection: close\r\n\r\n\
    400 request.plain_on_tls: this port speaks TLS; ask for the same with https:// in front\n";

/// Makes the handshake; says what is spoken within. `None`: there is no connection to go on with, and the client has
/// been told as far as can be.
pub(super) async fn shake(local: &Local, connection: &mut Connection) -> Option<Alpn> {
    let (plan, listener) = connection.stay.entry.listener.place();
    let secure = plan.secure(listener)?;
    let limits = plan.snapshot.listeners.get(listener.0 as usize)?.limits;
    let began = local.now();
    connection.set_deadline(local, began.after(limits.handshake_timeout));
    let input = std::mem::take(&mut connection.input);
    let (Inlet::Socket(reader), Outlet::Socket(writer)) = (&mut connection.reader, &mut connection.writer)
    else {
        return None;
    };
    let deadline = &connection.stay.entry.deadline;
    let shaken = tls::accept(reader, writer, input, &secure.config, deadline).await;
    let verified = shaken.and_then(|negotiated| match (&secure.tls.client_auth, negotiated.resumed) {
        (Some(auth), true) => still_valid(&*auth.verifier, negotiated),
        _ => Ok(negotiated),
    });
    match verified {
        Ok(negotiated) => {
            let now = local.now();
            let resumed = negotiated.resumed;
            local.counts.add(if resumed { Count::HandshakesResumed } else { Count::HandshakesFull }, 1);
            connection.secured = Some(Rc::new(Secured {
                protocol: negotiated.protocol,
                resumed,
                server_name: negotiated.hello.server_name,
                handshake_us: u32::try_from(now.since(began).as_micros()).unwrap_or(u32::MAX),
                has_certificate: !negotiated.peer_certificates.is_empty(),
                identity: identity(&secure.tls, &negotiated.peer_certificates),
            }));
            // The first request's time runs from here.
            connection.accepted = now;
            Some(negotiated.alpn)
        }
        Err(error) => {
            fail(local, connection, error).await;
            None
        }
    }
}

/// Who a client is, as upstreams are told: its certificate's digest, subject and names.
fn identity(tls: &ListenerTls, certificates: &[CertificateDer<'static>]) -> Option<Box<[u8]>> {
    let own = certificates.first()?;
    tls.client_auth.as_ref()?.header.as_ref()?;
    let mut value = b"Hash=".to_vec();
    for byte in digest(&SHA256, own).as_ref() {
        value.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    value.extend_from_slice(client_identity(own).as_bytes());
    Some(value.into())
}

/// A session that goes on is with whoever it began with: that they may still come in is asked again, since their
/// certificate may have expired or been revoked.
fn still_valid(
    verifier: &dyn rustls::server::danger::ClientCertVerifier,
    negotiated: Negotiated,
) -> Result<Negotiated, TlsError> {
    match negotiated.peer_certificates.split_first() {
        Some((own, others)) => {
            let now = UnixTime::since_unix_epoch(clock::wall());
            verifier.verify_client_cert(own, others, now).map_err(TlsError::Tls)?;
        }
        None if verifier.client_auth_mandatory() => {
            return Err(TlsError::Tls(rustls::Error::NoCertificatesPresented));
        }
        None => {}
    }
    Ok(negotiated)
}

/// Counts and logs a handshake that failed, and answers who does not know that this is TLS.
async fn fail(local: &Local, connection: &mut Connection, error: TlsError) {
    let reason = error.reason();
    local.counts.add(Count::HandshakesFailed, 1);
    local.counts.reason(reason);
    say(
        Level::Debug,
        reason,
        "a TLS handshake failed",
        &[("ip", &connection.peer_ip), ("listener", &connection.stay.entry.listener.name), ("error", &error)],
    );
    if let TlsError::PlainHttp(_) = error {
        let mut answer = local.buffers.take(Buffers::TINY);
        answer.append().extend_from_slice(PLAIN);
        if connection.writer.post(answer).is_ok() {
            Box::pin(linger::read_out(local, connection)).await;
        }
    } else {
        // A close would be a reset where bytes are unread, and could overtake the alert.
        drop::<Option<Buffer>>(connection.reader.recv_now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
