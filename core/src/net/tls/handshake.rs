//! The handshake, either side.
//!
//! As few sends as possible: a flight goes out whole and is not waited for; a server's tickets wait for its first
//! answer when the request came with the client's last flight; a client's last flight waits for its first request.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, Error, HandshakeKind, ProtocolVersion, ServerConfig};

use super::super::{Buffer, Deadline, NetError, Reader, Writer};
use super::engine::{Engine, Turn};
use super::hello::{self, Hello};
use super::session::Session;

/// What a handshake has settled.
#[derive(Debug)]
pub struct Negotiated {
    /// What is spoken.
    pub alpn: Alpn,
    /// The version of TLS.
    pub protocol: Protocol,
    /// Whether an earlier session went on.
    pub resumed: bool,
    /// What the client asked for; empty on the client's side.
    pub hello: Hello,
    /// The certificates that the other side has shown, its own first. On the server's side those of a resumed session
    /// were verified when it began.
    pub peer_certificates: Vec<CertificateDer<'static>>,
}

/// What is spoken within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2.
    H2,
    /// HTTP/1.1, said or by default.
    H1,
}

/// The version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Protocol {
    /// Its name, as logs have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The deadline passed.
    #[error("the handshake took too long")]
    TimedOut,
    /// The other side left.
    #[error("the connection ended within the handshake")]
    Closed,
    /// The socket failed.
    #[error("the connection failed within the handshake: {0}")]
    Io(io::Error),
    /// The first bytes, which are here, are those of an HTTP request.
    #[error("plain HTTP on a TLS port")]
    PlainHttp(Buffer),
    /// The two sides do not agree, or one is not what it says.
    #[error(transparent)]
    Tls(Error),
}

impl TlsError {
    /// The word under which a failed handshake of a client is counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TimedOut => "handshake.timeout",
            Self::Closed => "handshake.closed",
            Self::Io(_) => "handshake.reset",
            Self::PlainHttp(_) => "request.plain_on_tls",
            Self::Tls(error) => reason(error),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is rare has one word, and the log the rest")]
fn reason(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(_) => "handshake.alert",
        Error::InvalidCertificate(_)
        | Error::InvalidCertRevocationList(_)
        | Error::NoCertificatesPresented => "handshake.client_certificate",
        Error::NoApplicationProtocol => "handshake.alpn",
        Error::PeerIncompatible(_) => "handshake.incompatible",
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => "handshake.malformed",
        _ => "handshake.failed",
    }
}

impl From<NetError> for TlsError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::TimedOut => Self::TimedOut,
            NetError::Io(error) => Self::Io(error),
        }
    }
}

/// Makes the server's side of the handshake on a connection of which `received` has been read. After an error the
/// connection is to be closed; the alert has been sent.
pub async fn accept(
    reader: &mut Reader,
    writer: &mut Writer,
    received: Buffer,
    config: &Arc<ServerConfig>,
    deadline: &Deadline,
) -> Result<Negotiated, TlsError> {
    let mut input = received;
    if input.is_empty() {
        input = match reader.recv_now() {
            Some(bytes) => bytes,
            None => reader.recv(deadline).await?.ok_or(TlsError::Closed)?,
        };
    }
    // A record of a handshake begins with 22, a method with a letter.
    if input.filled().first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(TlsError::PlainHttp(input));
    }
    let connection = UnbufferedServerConnection::new(Arc::clone(config)).map_err(TlsError::Tls)?;
    let session = Session::new(Engine::Server(connection), reader.buffers(), deadline.timers());
    let hello = shake(&session, reader, writer, &mut input, deadline).await?;
    session.take_in(Ok(Some(input)));
    reader.attach(Rc::clone(&session));
    let negotiated = negotiated(&session, hello);
    // A request that has come with the client's last flight will be answered at once, and tickets can go with that.
    if !session.is_ready() && negotiated.protocol == Protocol::Tls13 {
        reader.look(&session);
    }
    if !session.is_ready() {
        send_pending(&session, writer, deadline).await?;
    }
    writer.attach(session);
    Ok(negotiated)
}

/// Makes the client's side of the handshake. Its last flight waits for the first request.
pub async fn connect(
    reader: &mut Reader,
    writer: &mut Writer,
    config: &Arc<ClientConfig>,
    name: ServerName<'static>,
    deadline: &Deadline,
) -> Result<Negotiated, TlsError> {
    let connection = UnbufferedClientConnection::new(Arc::clone(config), name).map_err(TlsError::Tls)?;
    let session = Session::new(Engine::Client(connection), reader.buffers(), deadline.timers());
    let mut input = Buffer::empty();
    let hello = shake(&session, reader, writer, &mut input, deadline).await?;
    session.take_in(Ok(Some(input)));
    let negotiated = negotiated(&session, hello);
    reader.attach(Rc::clone(&session));
    writer.attach(session);
    Ok(negotiated)
}

/// Exchanges flights until data may flow. What the last flight needs sent stays in the session.
async fn shake(
    session: &Session,
    reader: &mut Reader,
    writer: &mut Writer,
    input: &mut Buffer,
    deadline: &Deadline,
) -> Result<Hello, TlsError> {
    let mut hello = Hello::default();
    loop {
        let turn = session.shake(input);
        if let Some(seen) = hello::take() {
            hello = seen;
        }
        match turn {
            Ok(Turn::Handshake) => {}
            Ok(Turn::Traffic) => return Ok(hello),
            Ok(Turn::Closed) => return Err(TlsError::Closed),
            Err(error) => {
                writer.send_alert(session);
                return Err(TlsError::Tls(error));
            }
        }
        send_pending(session, writer, deadline).await?;
        if input.is_empty() {
            *input = Buffer::empty();
        }
        let more = reader.recv(deadline).await?.ok_or(TlsError::Closed)?;
        input.absorb(more);
    }
}

/// Sends what is pending, and waits only when something else is still being sent.
async fn send_pending(session: &Session, writer: &mut Writer, deadline: &Deadline) -> Result<(), NetError> {
    if let Some(flight) = session.take_pending()
        && let Err(flight) = writer.post(flight)
    {
        writer.send(flight, deadline).await?;
    }
    Ok(())
}

fn negotiated(session: &Session, hello: Hello) -> Negotiated {
    session.with_state(|state| Negotiated {
        alpn: if state.alpn_protocol() == Some(b"h2") { Alpn::H2 } else { Alpn::H1 },
        protocol: match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Protocol::Tls13,
            _ => Protocol::Tls12,
        },
        resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        hello,
        peer_certificates: state.peer_certificates().unwrap_or_default().to_vec(),
    })
}
