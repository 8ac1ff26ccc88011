//! Session tickets, kept from one process of a target for another; and certificates, which are not checked.
#![expect(
    clippy::disallowed_types,
    reason = "rustls wants a store that threads may share; here it is one thread, and no gateway"
)]

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, NamedGroup, SignatureScheme};

/// Tickets, each to be used once.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<Vec<Tls13ClientSessionValue>>);

/// Which way tickets go.
#[derive(Debug)]
enum Way {
    In,
    Out,
}

#[derive(Debug)]
struct Store {
    tickets: Arc<Tickets>,
    way: Way,
}

impl Tickets {
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Keeps what comes, and gives nothing.
    pub(super) fn collecting(self: &Arc<Self>) -> Arc<dyn ClientSessionStore> {
        Arc::new(Store { tickets: Arc::clone(self), way: Way::In })
    }

    /// Gives what was collected, and keeps nothing.
    pub(super) fn using(self: &Arc<Self>) -> Arc<dyn ClientSessionStore> {
        Arc::new(Store { tickets: Arc::clone(self), way: Way::Out })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tls13ClientSessionValue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} tickets", self.count())
    }
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        if matches!(self.way, Way::In) {
            self.tickets.lock().push(value);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        match self.way {
            Way::In => None,
            Way::Out => self.tickets.lock().pop(),
        }
    }
}

/// Takes every certificate: the target is our own process, and what checking costs is not its.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
