//! Certificates of the test's own, and how the other side is configured with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Who signs certificates, and the folder where they are: `ca.pem`, `NAME.pem` and `NAME.key`.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate to be made.
pub(crate) struct Leaf<'a> {
    /// DNS names, addresses or URIs that it is for.
    pub(crate) names: &'a [&'a str],
    pub(crate) algorithm: &'static rcgen::SignatureAlgorithm,
    /// The year in which it ends.
    pub(crate) until: i32,
    pub(crate) serial: u64,
}

impl<'a> Leaf<'a> {
    /// On P-256, for a long time.
    pub(crate) fn of(names: &'a [&'a str]) -> Self {
        Self { names, algorithm: &rcgen::PKCS_ECDSA_P256_SHA256, until: 2100, serial: 1 }
    }
}

impl Authority {
    pub(crate) fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, format!("Test authority of {}", dir.display()));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { dir: dir.to_path_buf(), issuer }
    }

    /// Writes a certificate and its key.
    pub(crate) fn issue(&self, name: &str, leaf: &Leaf<'_>) {
        let names: Vec<String> = leaf.names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(leaf.until, 1, 1);
        params.serial_number = Some(leaf.serial.into());
        let key = KeyPair::generate_for(leaf.algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        // The certificate is what is looked at for changes: it comes last, and whole.
        let temporary = self.dir.join(format!("{name}.pem.new"));
        std::fs::write(&temporary, certificate.pem()).unwrap();
        std::fs::rename(temporary, self.dir.join(format!("{name}.pem"))).unwrap();
    }

    /// Writes a list that revokes these numbers.
    pub(crate) fn revoke(&self, name: &str, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        std::fs::write(self.dir.join(name), list.pem().unwrap()).unwrap();
    }

    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(self.dir.join(format!("{name}.pem"))).unwrap()]
    }

    fn key(&self, name: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.dir.join(format!("{name}.key"))).unwrap()
    }

    /// A client that believes this authority.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.client_with(BOTH, None)
    }

    /// The same in these versions, and with a certificate of its own.
    pub(crate) fn client_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&str>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
        Arc::new(match identity {
            Some(name) => builder.with_client_auth_cert(self.chain(name), self.key(name)).unwrap(),
            None => builder.with_no_client_auth(),
        })
    }

    /// A client that believes this authority, and shows a certificate of another.
    pub(crate) fn client_trusting(&self, other: &Self, identity: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(builder.with_client_auth_cert(other.chain(identity), other.key(identity)).unwrap())
    }

    /// A server with this certificate.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(self.chain(name), self.key(name))
            .unwrap()
    }

    /// Where the certificates are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}
