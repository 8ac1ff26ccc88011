//! Who verifies whom: clients against authorities and revocation lists, upstreams against authorities, the system's or
//! the operator's.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_native_certs::CertificateResult;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use x509_cert::certificate::Raw;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use super::ClientAuthMode;
use crate::snapshot::Protocol;

/// What verifies clients.
pub(super) fn clients(
    roots: Arc<RootCertStore>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    mode: ClientAuthMode,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).with_crls(lists);
    let builder = match mode {
        ClientAuthMode::Required => builder,
        ClientAuthMode::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| format!("no client can be verified like this: {error}"))
}

/// What verifies upstreams.
pub(super) fn servers(
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
    let verifier = built.map_err(|error| format!("no upstream can be verified like this: {error}"))?;
    Ok(verifier)
}

/// What takes any certificate (`verify = false`).
pub(super) fn nobody(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Anyone { provider: Arc::clone(provider) })
}

/// The authorities that the system trusts.
pub(super) fn system_roots(found: CertificateResult) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    // Bundles may hold what is no authority; what can be used counts.
    let _ = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(format!(
            "this system trusts no authority{why}; install its CA certificates, or write `tls = {{ ca = \"ca.pem\" }}`"
        ));
    }
    Ok(Arc::new(roots))
}

/// How an upstream is asked.
pub(super) fn client(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<CertifiedKey>>,
    protocol: Protocol,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| format!("no TLS can be spoken like this: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(certified) => builder
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&certified)))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    // The store of rustls has a lock; each worker puts its own in this place.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// From when a revocation list is, and when its successor is due, in seconds since 1970.
pub(super) fn revocation_dates(
    list: &CertificateRevocationListDer<'_>,
) -> Result<(u64, Option<u64>), &'static str> {
    let parsed = CertificateList::<Raw>::from_der(list).map_err(|_| "is not valid X.509")?;
    let dates = parsed.tbs_cert_list;
    let next = dates.next_update.map(|time| time.to_unix_duration().as_secs());
    Ok((dates.this_update.to_unix_duration().as_secs(), next))
}

/// Takes any certificate, but only from who has its key.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
