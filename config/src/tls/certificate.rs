//! One certificate with its chain and its key: whom it is for, since when and until when.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::dates;

/// RFC 5280, 4.2.1.6.
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// Every scheme that a key of ours may sign with.
const SCHEMES: [SignatureScheme; 13] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ECDSA_SHA1_Legacy,
    SignatureScheme::ED25519,
    SignatureScheme::ED448,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA1,
];

/// A certificate that is shown to clients or to an upstream.
#[derive(Debug)]
pub struct Certificate {
    /// The file as it is typed.
    pub source: Arc<str>,
    /// The chain, the certificate first, and the key that belongs to it.
    pub certified: Arc<CertifiedKey>,
    /// Whom it is for: its alternative names, or, where it has none, its common name.
    pub names: Vec<CertifiedName>,
    /// The kind of its key.
    pub kind: KeyKind,
    /// From when it is valid, in seconds since 1970.
    pub not_before: u64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: u64,
    /// What its key can sign with.
    schemes: Vec<SignatureScheme>,
}

/// A name or an address that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertifiedName {
    /// This name, in lower case.
    Exact(Box<str>),
    /// Every name that has one label more than this one: `example.com` for `*.example.com`.
    Wildcard(Box<str>),
    /// This address.
    Address(IpAddr),
}

/// The kind of a key, the first preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// On an elliptic curve: the least work in a handshake.
    Ecdsa,
    /// `Ed25519`.
    Ed25519,
    /// `RSA`.
    Rsa,
}

impl Certificate {
    /// Reads what a chain's first certificate says, for a key that belongs to it.
    pub(super) fn new(source: &str, certified: CertifiedKey) -> Result<Self, String> {
        let parsed = certified.cert.first().and_then(|der| CertificateInner::<Raw>::from_der(der).ok());
        let Some(parsed) = parsed else {
            return Err(format!("the certificate in `{source}` is not valid X.509"));
        };
        let kind = match certified.key.algorithm() {
            SignatureAlgorithm::ECDSA => KeyKind::Ecdsa,
            SignatureAlgorithm::ED25519 => KeyKind::Ed25519,
            SignatureAlgorithm::RSA => KeyKind::Rsa,
            other @ (SignatureAlgorithm::Anonymous
            | SignatureAlgorithm::DSA
            | SignatureAlgorithm::ED448
            | SignatureAlgorithm::Unknown(_)
            | _) => {
                return Err(format!(
                    "expected a key of RSA, ECDSA or Ed25519 for `{source}`, found {other:?}"
                ));
            }
        };
        let names = names(&parsed)
            .ok_or_else(|| format!("the alternative names in `{source}` are not valid X.509"))?;
        let schemes = SCHEMES.into_iter().filter(|scheme| certified.key.choose_scheme(&[*scheme]).is_some());
        let validity = parsed.tbs_certificate().validity();
        Ok(Self {
            source: Arc::from(source),
            names,
            kind,
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
            schemes: schemes.collect(),
            certified: Arc::new(certified),
        })
    }

    /// What is to be said of its dates, at a time in seconds since 1970: that it is not valid, or soon will not be.
    pub fn warning(&self, now: u64) -> Option<String> {
        let what = format!("the certificate in `{}`", self.source);
        dates::warning(&what, self.not_before, self.not_after, now)
    }

    /// Whether it is for a host: a name in any case, or an address with or without brackets; without a port.
    pub fn covers(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = bare.parse::<IpAddr>().ok();
        self.names.iter().any(|name| match name {
            CertifiedName::Exact(name) => name.eq_ignore_ascii_case(host),
            CertifiedName::Wildcard(parent) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && rest.eq_ignore_ascii_case(parent) && address.is_none()
            }),
            CertifiedName::Address(own) => Some(*own) == address,
        })
    }

    /// Whether its key can sign in one of these ways.
    pub(super) fn signs_as(&self, offered: &[SignatureScheme]) -> bool {
        self.schemes.iter().any(|scheme| offered.contains(scheme))
    }
}

impl std::fmt::Display for CertifiedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        })
    }
}

/// The names, each once; `None` where the extension cannot be read.
fn names(parsed: &CertificateInner<Raw>) -> Option<Vec<CertifiedName>> {
    let certificate = parsed.tbs_certificate();
    let extensions = certificate.extensions().into_iter().flatten();
    let mut names = Vec::new();
    let mut has_alternatives = false;
    for extension in extensions.filter(|extension| extension.extn_id == SUBJECT_ALT_NAME) {
        has_alternatives = true;
        for name in SubjectAltName::from_der(extension.extn_value.as_bytes()).ok()?.0 {
            let name = match name {
                GeneralName::DnsName(name) => dns_name(name.as_str()),
                GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
                GeneralName::OtherName(_)
                | GeneralName::Rfc822Name(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EdiPartyName(_)
                | GeneralName::UniformResourceIdentifier(_)
                | GeneralName::RegisteredId(_) => None,
            };
            names.extend(name.filter(|name| !names.contains(name)));
        }
    }
    if !has_alternatives {
        let common = certificate.subject().common_name().ok().flatten();
        names.extend(common.and_then(|name| dns_name(&String::from(name))));
    }
    Some(names)
}

/// A name as clients ask for it; what could never be asked for is left out.
fn dns_name(text: &str) -> Option<CertifiedName> {
    let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let (name, is_wildcard) = lower.strip_prefix("*.").map_or((&*lower, false), |parent| (parent, true));
    let is_name = rustls_pki_types::DnsName::try_from(name).is_ok();
    let make = if is_wildcard { CertifiedName::Wildcard } else { CertifiedName::Exact };
    is_name.then(|| make(Box::from(name)))
}

fn address(bytes: &[u8]) -> Option<CertifiedName> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.ok().map(CertifiedName::Address)
}
