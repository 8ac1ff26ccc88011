//! TLS with an endpoint: who it is asked to be, how, and what it has chosen to speak.

use std::cell::Cell;
use std::sync::Arc;

use ringway_config::snapshot::Protocol;
use ringway_config::tls::UpstreamTls;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{IpAddr, ServerName};

use super::pool::Pool;
use crate::error::Fault;
use crate::log::{Level, say};
use crate::net::tls::{self, Alpn, TlsError};
use crate::net::{Deadline, Reader, Writer};

/// Sessions that are kept for an endpoint: it gives up to two for each connection, and one is used up by the next.
const SESSIONS: usize = 16;

/// What TLS is spoken with to one address. Its sessions are this worker's own: their store has a lock.
pub(super) struct Secure {
    config: Arc<ClientConfig>,
    /// None: nothing of the endpoint is a name that could be asked for.
    name: Option<ServerName<'static>>,
    /// What the last handshake chose.
    pub(super) chosen: Cell<Option<Alpn>>,
    /// The last handshake failed: said once, until one goes well.
    is_failing: Cell<bool>,
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Secure {
    /// For an endpoint that is called like this.
    pub(super) fn new(tls: &UpstreamTls, host: &str) -> Self {
        let mut config = ClientConfig::clone(&tls.client);
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Self {
            config: Arc::new(config),
            name: tls.server_name.clone().or_else(|| server_name(host)),
            chosen: Cell::new(None),
            is_failing: Cell::new(false),
        }
    }
}

/// The name in a `Host`, which may have a port.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    if let Some(bracketed) = host.strip_prefix('[') {
        let ip: std::net::Ipv6Addr = bracketed.split(']').next()?.parse().ok()?;
        return Some(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(ip))));
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    ServerName::try_from(name.to_ascii_lowercase()).ok()
}

/// Makes the handshake on a connection that was just opened.
pub(super) async fn shake(
    pool: &Pool,
    secure: &Secure,
    (mut reader, mut writer): (Reader, Writer),
    deadline: &Deadline,
) -> Result<(Reader, Writer, Alpn), Fault> {
    let Some(name) = secure.name.clone() else { return Err(Fault::UpstreamHandshake) };
    match tls::connect(&mut reader, &mut writer, &secure.config, name, deadline).await {
        Ok(negotiated) => {
            secure.is_failing.set(false);
            secure.chosen.set(Some(negotiated.alpn));
            if pool.terms().protocol == Protocol::Http2 && negotiated.alpn != Alpn::H2 {
                return Err(Fault::UpstreamAlpn);
            }
            Ok((reader, writer, negotiated.alpn))
        }
        Err(error) => {
            if !secure.is_failing.replace(true) {
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("address", &pool.address), ("error", &error)];
                say(Level::Warn, "upstream.tls", "a TLS handshake with an endpoint failed", &fields);
            }
            Err(fault(&error))
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not about the certificate is about the handshake"
)]
fn fault(error: &TlsError) -> Fault {
    use rustls::Error;
    match error {
        TlsError::TimedOut => Fault::ConnectTimeout,
        TlsError::Tls(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            Fault::UpstreamCertificate
        }
        TlsError::Tls(Error::NoApplicationProtocol) => Fault::UpstreamAlpn,
        _ => Fault::UpstreamHandshake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_endpoint_is_its_host_without_the_port() {
        for (host, name) in [
            ("API.example:8443", "api.example"),
            ("api.example", "api.example"),
            ("192.0.2.1:443", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(server_name(host).unwrap().to_str(), name);
        }
        assert!(server_name("not a name").is_none());
    }
}
