//! TLS 1.3 as the load speaks it. It is to cost little and to be the same for every target: one key exchange (X25519),
//! one cipher (AES-128-GCM), and the target's certificate is not checked.

pub(crate) mod files;
#[cfg(test)]
mod tests;
mod tickets;

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind};

use tickets::AnyCertificate;
pub(crate) use tickets::Tickets;

/// More is not encrypted before some of it has been sent.
const OUTPUT_MAX: usize = 64 * 1024;

/// How sessions begin.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
}

/// One session of a connection.
pub(crate) struct Session {
    connection: UnbufferedClientConnection,
    /// The front of a record whose end has not come.
    rest: Vec<u8>,
    /// Records that are to be sent.
    pub(crate) output: Vec<u8>,
    is_open: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").field("is_open", &self.is_open).finish_non_exhaustive()
    }
}

impl Client {
    /// `protocol` is offered by ALPN. Tickets are not looked at: each handshake is a full one.
    pub(crate) fn new(protocol: &str) -> Result<Self> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        let provider: Arc<CryptoProvider> = Arc::new(provider);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    /// The same, and tickets are collected.
    pub(crate) fn collecting(&self, tickets: &Arc<Tickets>) -> Self {
        self.with(Resumption::store(tickets.collecting()))
    }

    /// The same, and each handshake uses one of the tickets that were collected before, if there is one. A ticket is
    /// only used with the verifier that it was collected with, so this is a copy of the same client.
    pub(crate) fn using(&self, tickets: &Arc<Tickets>) -> Self {
        self.with(Resumption::store(tickets.using()))
    }

    fn with(&self, resumption: Resumption) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = resumption;
        Self { config: Arc::new(config) }
    }

    /// A session with its first flight to be sent.
    pub(crate) fn begin(&self) -> Result<Session> {
        let name = ServerName::try_from(files::NAME)?;
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name)?;
        let mut session = Session { connection, rest: Vec::new(), output: Vec::new(), is_open: false };
        let has_ended = session.hear(&mut [], &mut |_| Ok(())).map_err(anyhow::Error::msg)?;
        ensure!(!has_ended && !session.output.is_empty(), "no ClientHello");
        Ok(session)
    }
}

impl Session {
    /// Whether the handshake is over.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether so much waits to be sent that nothing more may.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= OUTPUT_MAX
    }

    /// Whether the session goes on from another one; none: the handshake is not that far.
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        Some(self.connection.handshake_kind()? == HandshakeKind::Resumed)
    }

    /// What ALPN came to.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Puts what is left of the last read at the front of a buffer, behind which the socket's bytes belong.
    pub(crate) fn restore(&self, buffer: &mut [u8]) -> usize {
        match buffer.get_mut(..self.rest.len()) {
            Some(front) => front.copy_from_slice(&self.rest),
            None => debug_assert!(false, "a buffer that is smaller than a record"),
        }
        self.rest.len()
    }

    /// Takes records, decrypted where they lie. True: the other side says that nothing more will come.
    #[expect(clippy::wildcard_enum_match_arm, reason = "there may be more states one day, and none is ours")]
    pub(crate) fn hear(
        &mut self,
        mut input: &mut [u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<bool, String> {
        loop {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(input);
            let state = state.map_err(|error| format!("TLS: {error}"))?;
            let end = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| format!("TLS: {error}"))?;
                        discard += record.discard;
                        take(record.payload)?;
                    }
                    None
                }
                ConnectionState::EncodeTlsData(mut flight) => {
                    append(&mut self.output, |free| {
                        flight.encode(free).map_err(|error| match error {
                            EncodeError::InsufficientSize(more) => Ok(more.required_size),
                            EncodeError::AlreadyEncoded => Err("TLS: encoded twice".to_owned()),
                        })
                    })?;
                    None
                }
                // It counts as sent when it stands in the output, from which nothing is lost.
                ConnectionState::TransmitTlsData(flight) => {
                    flight.done();
                    None
                }
                ConnectionState::WriteTraffic(_) => {
                    self.is_open = true;
                    Some(false)
                }
                ConnectionState::BlockedHandshake => Some(false),
                ConnectionState::PeerClosed | ConnectionState::Closed => Some(true),
                other => return Err(format!("TLS: {other:?}")),
            };
            input = input.get_mut(discard..).unwrap_or_default();
            if let Some(has_ended) = end {
                self.rest.clear();
                self.rest.extend_from_slice(input);
                return Ok(has_ended);
            }
        }
    }

    /// Encrypts bytes into the output. How many: all, up to a limit.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let piece = bytes.get(..OUTPUT_MAX).unwrap_or(bytes);
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
        let ConnectionState::WriteTraffic(mut traffic) = state.map_err(|error| format!("TLS: {error}"))?
        else {
            return Err("TLS: nothing can be sent".to_owned());
        };
        append(&mut self.output, |free| {
            traffic.encrypt(piece, free).map_err(|error| match error {
                EncryptError::InsufficientSize(more) => Ok(more.required_size),
                EncryptError::EncryptExhausted => Err("TLS: too many records".to_owned()),
            })
        })?;
        Ok(piece.len())
    }
}

/// Lets something be written behind what is there, with as much room as it turns out to need.
fn append(
    output: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Result<usize, String>>,
) -> Result<(), String> {
    let (start, mut room) = (output.len(), 1024);
    loop {
        output.resize(start + room, 0);
        match write(output.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                output.truncate(start + written);
                return Ok(());
            }
            Err(Ok(needed)) if needed > room => room = needed,
            Err(Ok(_)) => return Err("TLS: no room is enough".to_owned()),
            Err(Err(why)) => return Err(why),
        }
    }
}
