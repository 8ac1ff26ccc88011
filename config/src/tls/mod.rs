//! TLS as the snapshot holds it: certificates that are loaded and checked, who verifies clients, and what an
//! upstream is asked in. The handshakes themselves are made in core.

mod certificate;
mod client;
mod dates;
pub(crate) mod load;
mod lookup;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};

pub use self::certificate::{Certificate, CertifiedName, KeyKind};
pub use self::client::client_identity;
pub use self::lookup::Certificates;

/// The cryptography behind all TLS of the process.
pub fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// `[listeners.NAME.tls]`.
#[derive(Debug)]
pub struct ListenerTls {
    /// The certificates by name; empty only where references are left alone. The resolver of a rustls configuration.
    pub certificates: Arc<Certificates>,
    /// The least version.
    pub min_version: TlsVersion,
    /// Whether a request for another host than the one that the client named in its handshake gets 421.
    pub strict_sni: bool,
    /// Who asks clients for certificates; none: nobody does.
    pub client_auth: Option<ClientAuth>,
    /// Differs where anything above does, the contents of the files included.
    pub fingerprint: u64,
}

impl ListenerTls {
    /// The versions that are spoken.
    pub fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self.min_version {
            TlsVersion::Tls12 => &BOTH,
            TlsVersion::Tls13 => &NEW,
        }
    }

    /// Whether a client that named `sni` in its handshake may ask for `host`, a name without its port. With
    /// `strict_sni` that is the same name, or one that the certificate shown for `sni` is for too (RFC 9110, 7.4).
    pub fn may_ask_for(&self, sni: &str, host: &str) -> bool {
        !self.strict_sni || sni.eq_ignore_ascii_case(host) || self.certificates.share_one(sni, host)
    }
}

/// `min_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// `client_auth`.
#[derive(Debug, Clone)]
pub struct ClientAuth {
    /// Verifies what is shown against the authorities and the revocation lists. In the optional mode it lets
    /// clients through that show nothing; a certificate that is not valid is refused in both.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// Whether there must be a certificate.
    pub mode: ClientAuthMode,
    /// The field that tells upstreams who the client is. A client's own field of this name is never passed on.
    pub header: Option<Arc<str>>,
}

/// `client_auth.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAuthMode {
    /// No handshake without a certificate.
    Required,
    /// A certificate is asked for; routes may demand it.
    Optional,
}

/// `[upstreams.NAME.tls]`.
#[derive(Debug)]
pub struct UpstreamTls {
    /// The name to ask for and to verify; none: the endpoint's own name or address.
    pub server_name: Option<rustls_pki_types::ServerName<'static>>,
    /// Verifies, shows the client certificate, and offers the protocols by ALPN. Each worker clones it and gives it a
    /// session store of its own.
    pub client: Arc<rustls::ClientConfig>,
    /// Differs where anything above does, the contents of the files included.
    pub fingerprint: u64,
}

/// A file that a snapshot was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFile {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Of its contents when they were read.
    digest: u64,
}

impl WatchedFile {
    pub(crate) fn new(path: &Path, contents: &[u8]) -> Self {
        Self { path: path.to_owned(), digest: load::digest(contents) }
    }

    /// Whether it holds something else now. One that cannot be read is about to be replaced, and has not changed yet.
    pub fn has_changed(&self) -> bool {
        load::read_bounded(&self.path).is_ok_and(|contents| load::digest(&contents) != self.digest)
    }
}

#[cfg(test)]
pub(crate) mod tests;
