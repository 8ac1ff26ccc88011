//! Which certificate a client is shown: by the name that it asks for, then by what it can verify.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, CertifiedName};

/// The certificates of one name, the preferred kind of key first.
#[derive(Debug, Default)]
struct Group(Vec<Arc<Certificate>>);

/// The certificates of a listener. A look-up does not allocate.
#[derive(Debug, Default)]
pub struct Certificates {
    /// In the file's order.
    all: Vec<Arc<Certificate>>,
    exact: HashMap<Box<str>, Group>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, Group>,
    /// Shown to a client that names nothing, or what no certificate is for.
    default: Group,
}

/// Two certificates of one name and one kind of key: nothing could choose between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash {
    /// The one that came later, by its number.
    pub(super) number: usize,
    /// What is said of it.
    pub(super) message: String,
}

impl Certificates {
    /// Puts an index over certificates; the first one's name has the default.
    pub(super) fn new(all: Vec<Arc<Certificate>>) -> Result<Self, Vec<Clash>> {
        let mut made = Self::default();
        let mut clashes = Vec::new();
        for (number, certificate) in all.iter().enumerate() {
            for name in &certificate.names {
                let group = match name {
                    CertifiedName::Exact(name) => made.exact.entry(name.clone()).or_default(),
                    CertifiedName::Wildcard(parent) => made.wildcards.entry(parent.clone()).or_default(),
                    // No client names an address in its handshake (RFC 6066, 3).
                    CertifiedName::Address(_) => continue,
                };
                if let Some(other) = group.0.iter().find(|other| other.kind == certificate.kind) {
                    let (source, kind) = (&other.source, other.kind);
                    let message = format!(
                        "`{name}` has an {kind} certificate on this listener already, in `{source}`; remove one"
                    );
                    clashes.push(Clash { number, message });
                }
                group.add(certificate);
            }
        }
        if !clashes.is_empty() {
            return Err(clashes);
        }
        if let Some(first) = all.first() {
            let named = first.names.iter().find_map(|name| match name {
                CertifiedName::Exact(name) => made.exact.get(name),
                CertifiedName::Wildcard(parent) => made.wildcards.get(parent),
                CertifiedName::Address(_) => None,
            });
            made.default = Group(named.map_or_else(|| vec![Arc::clone(first)], |group| group.0.clone()));
        }
        made.all = all;
        Ok(made)
    }

    /// All of them, in the file's order; the first is the default.
    pub fn all(&self) -> &[Arc<Certificate>] {
        &self.all
    }

    /// The certificate for a client that names `sni`, in lower case as rustls has it, and can verify `schemes`.
    /// The exact name goes before a wildcard, and that before the default; within a name ECDSA before RSA.
    /// `None` only when there are no certificates: one that the client cannot verify still makes the clearer end.
    pub fn find(&self, sni: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Certificate>> {
        let [exact, wildcard] = self.named(sni);
        let groups = if exact.is_none() && wildcard.is_none() {
            [Some(&self.default), None]
        } else {
            [exact, wildcard]
        };
        let mut candidates = groups.into_iter().flatten().flat_map(|group| &group.0);
        let first = candidates.clone().next();
        candidates.find(|certificate| certificate.signs_as(schemes)).or(first)
    }

    /// Whether some certificate that is shown for `sni` is for `host` too.
    pub(super) fn share_one(&self, sni: &str, host: &str) -> bool {
        let [exact, wildcard] = self.named(Some(sni));
        let shown = exact.or(wildcard).unwrap_or(&self.default);
        shown.0.iter().any(|certificate| certificate.covers(host))
    }

    /// The certificates that are for a name itself, and those for the names beside it.
    fn named(&self, sni: Option<&str>) -> [Option<&Group>; 2] {
        let Some(sni) = sni else { return [None, None] };
        let sni = sni.strip_suffix('.').unwrap_or(sni);
        let parent = sni.split_once('.').map(|(_, parent)| parent);
        [self.exact.get(sni), parent.and_then(|parent| self.wildcards.get(parent))]
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = self.find(hello.server_name(), hello.signature_schemes())?;
        Some(Arc::clone(&found.certified))
    }
}

impl Group {
    fn add(&mut self, certificate: &Arc<Certificate>) {
        let place = self.0.partition_point(|other| other.kind <= certificate.kind);
        self.0.insert(place, Arc::clone(certificate));
    }
}
