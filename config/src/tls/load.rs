//! From typed paths to what handshakes need: the files are read once, checked, and noted for watching.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};

use super::certificate::Certificate;
use super::lookup::Certificates;
use super::{ClientAuth, ListenerTls, UpstreamTls, WatchedFile, dates, verify};
use crate::file::reader::Text;
use crate::file::sink::Sink;
use crate::file::tls as typed;
use crate::load::Secrets;
use crate::snapshot::Protocol;

/// The largest file: a revocation list of a large authority has tens of megabytes.
const PEM_BYTES_MAX: u64 = 64 << 20;

/// Loads what the sections of one file refer to.
pub(crate) struct Loader<'a> {
    sink: &'a Sink<'a>,
    /// In seconds since 1970.
    now: u64,
    provider: Arc<CryptoProvider>,
    files: RefCell<BTreeMap<PathBuf, WatchedFile>>,
    /// The authorities that the system trusts; searched for once, when the first upstream asks.
    system: OnceCell<Result<Arc<RootCertStore>, String>>,
}

/// A file's contents, and how it is named in messages.
struct Pem<'t> {
    text: &'t str,
    at: usize,
    bytes: Vec<u8>,
}

impl<'a> Loader<'a> {
    /// One that has read nothing.
    pub(crate) fn new(sink: &'a Sink<'a>, now: u64) -> Self {
        Self {
            sink,
            now,
            provider: Arc::new(super::provider()),
            files: RefCell::default(),
            system: OnceCell::new(),
        }
    }

    /// Every file that was read, each once.
    pub(crate) fn into_files(self) -> Vec<WatchedFile> {
        self.files.into_inner().into_values().collect()
    }

    /// What a listener speaks TLS with; `None` leaves an error in the sink.
    pub(crate) fn listener(&self, tls: &typed::ListenerTls<'_>) -> Option<ListenerTls> {
        let mut print = DefaultHasher::new();
        (tls.min_version, tls.strict_sni).hash(&mut print);
        if self.sink.secrets == Secrets::Ignore {
            return Some(ListenerTls {
                certificates: Arc::default(),
                min_version: tls.min_version,
                strict_sni: tls.strict_sni,
                client_auth: None,
                fingerprint: print.finish(),
            });
        }
        let loaded: Vec<_> = tls.certificates.iter().map(|pair| self.certificate(pair, &mut print)).collect();
        let client_auth = match &tls.client_auth {
            Some(auth) => Some(self.client_auth(auth, &mut print)?),
            None => None,
        };
        let loaded = loaded.into_iter().collect::<Option<Vec<_>>>()?;
        let certificates = Certificates::new(loaded.into_iter().map(Arc::new).collect())
            .map_err(|clashes| {
                for clash in clashes {
                    let at = tls.certificates.get(clash.number).map_or(tls.at, |pair| pair.cert.at);
                    self.sink.error(at, clash.message);
                }
            })
            .ok()?;
        Some(ListenerTls {
            certificates: Arc::new(certificates),
            min_version: tls.min_version,
            strict_sni: tls.strict_sni,
            client_auth,
            fingerprint: print.finish(),
        })
    }

    /// What an upstream is asked with; `None` leaves an error in the sink.
    pub(crate) fn upstream(&self, tls: &typed::UpstreamTls<'_>, protocol: Protocol) -> Option<UpstreamTls> {
        let mut print = DefaultHasher::new();
        tls.verify.hash(&mut print);
        (protocol as u8).hash(&mut print);
        let server_name = match &tls.server_name {
            Some(name) if !name.is_unknown => {
                name.value.hash(&mut print);
                Some(self.server_name(name)?)
            }
            Some(_) | None => None,
        };
        let is_left_alone = self.sink.secrets == Secrets::Ignore;
        // Both sides are read before either is missed, so that one run tells all.
        let identity = tls.identity.as_ref().filter(|_| !is_left_alone);
        let shown = identity.map(|pair| self.certificate(pair, &mut print));
        let built = if !tls.verify || is_left_alone {
            Some(Ok(verify::nobody(&self.provider)))
        } else {
            let roots = if tls.ca.is_empty() { self.system(tls.at) } else { self.roots(&tls.ca, &mut print) };
            roots.map(|roots| verify::servers(roots, &self.provider))
        };
        let built = built?;
        let identity = match shown {
            Some(loaded) => Some(loaded?.certified),
            None => None,
        };
        let client = built.and_then(|verifier| verify::client(verifier, identity, protocol, &self.provider));
        let client = client.map_err(|message| self.sink.error(tls.at, message)).ok()?;
        Some(UpstreamTls { server_name, client: Arc::new(client), fingerprint: print.finish() })
    }

    fn server_name(&self, name: &Text<'_>) -> Option<ServerName<'static>> {
        let parsed = ServerName::try_from(name.value.to_ascii_lowercase());
        parsed
            .map_err(|_| {
                let message = "expected the name in the upstream's certificate, such as \"api.internal\"";
                self.sink.error(name.at, name.found(message));
            })
            .ok()
    }

    fn certificate(&self, pair: &typed::Pair<'_>, print: &mut impl Hasher) -> Option<Certificate> {
        let (cert, key) = (self.read(&pair.cert, print), self.read(&pair.key, print));
        let (cert, key) = (cert?, key?);
        let chain =
            self.items::<CertificateDer<'static>>(&cert, "certificate", "-----BEGIN CERTIFICATE-----");
        let key = self.key(&key);
        let certified = CertifiedKey::new(chain?, key?);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let (cert, key) = (pair.cert.typed, pair.key.typed);
                let message = format!(
                    "the key in `{key}` does not belong to the first certificate in `{cert}`; the server's own \
                     certificate goes first in its file, those that signed it after it"
                );
                self.sink.error(pair.key.at, message);
                return None;
            }
            Err(error) => {
                self.sink.error(cert.at, format!("the certificate in `{}` is not valid: {error}", cert.text));
                return None;
            }
        }
        let loaded = Certificate::new(cert.text, certified)
            .map_err(|message| self.sink.error(cert.at, message))
            .ok()?;
        if let Some(warning) = loaded.warning(self.now) {
            self.sink.warn(cert.at, warning);
        }
        Some(loaded)
    }

    fn key(&self, pem: &Pem<'_>) -> Option<Arc<dyn rustls::sign::SigningKey>> {
        let source = pem.text;
        let message = match PrivateKeyDer::from_pem_slice(&pem.bytes) {
            Ok(key) => match self.provider.key_provider.load_private_key(key) {
                Ok(key) => return Some(key),
                Err(_) => format!(
                    "the key in `{source}` is not one to sign with; expected RSA of 2048 to 8192 bits, ECDSA on P-256, \
                     P-384 or P-521, or Ed25519"
                ),
            },
            Err(_) if contains(&pem.bytes, b"ENCRYPTED") => {
                format!("the key in `{source}` is encrypted; take the password off with `openssl pkey`")
            }
            Err(rustls_pki_types::pem::Error::NoItemsFound) => format!(
                "`{source}` holds no private key; expected PEM with `-----BEGIN PRIVATE KEY-----` (PKCS#8), `RSA \
                 PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC1)"
            ),
            Err(_) => format!("`{source}` is not valid PEM"),
        };
        self.sink.error(pem.at, message);
        None
    }

    fn client_auth(&self, auth: &typed::ClientAuth<'_>, print: &mut DefaultHasher) -> Option<ClientAuth> {
        auth.mode.hash(print);
        let header = auth.header.as_ref().map(|name| Arc::from(&*name.value));
        header.hash(print);
        // Without an authority there is an error already.
        let roots = if auth.ca.is_empty() { None } else { self.roots(&auth.ca, print) };
        let lists: Vec<_> = auth.crl.iter().map(|text| self.revocations(text, print)).collect();
        let (roots, lists) = (roots?, lists.into_iter().collect::<Option<Vec<_>>>()?);
        let verifier = verify::clients(roots, lists.concat(), auth.mode, &self.provider)
            .map_err(|message| self.sink.error(auth.at, message))
            .ok()?;
        Some(ClientAuth { verifier, mode: auth.mode, header })
    }

    fn revocations(
        &self,
        text: &Text<'_>,
        print: &mut impl Hasher,
    ) -> Option<Vec<CertificateRevocationListDer<'static>>> {
        let pem = self.read(text, print)?;
        let lists = self.items::<CertificateRevocationListDer<'static>>(
            &pem,
            "revocation list",
            "-----BEGIN X509 CRL-----",
        )?;
        for list in &lists {
            match verify::revocation_dates(list) {
                Ok((this_update, next_update)) => {
                    let what = format!("the revocation list in `{}`", pem.text);
                    // Lists are made anew every few days, so that only one that is past its time is told.
                    let late = next_update.filter(|&next| next < self.now);
                    let warning = dates::warning(&what, this_update, late.unwrap_or(u64::MAX), self.now);
                    if let Some(warning) = warning {
                        self.sink.warn(pem.at, warning);
                    }
                }
                Err(message) => {
                    self.sink.error(pem.at, format!("the revocation list in `{}` {message}", pem.text));
                    return None;
                }
            }
        }
        Some(lists)
    }

    /// The authorities in some files.
    fn roots(&self, texts: &[Text<'_>], print: &mut impl Hasher) -> Option<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        let mut is_whole = true;
        for text in texts {
            let found = self.read(text, print).and_then(|pem| {
                let items = self.items::<CertificateDer<'static>>(
                    &pem,
                    "certificate",
                    "-----BEGIN CERTIFICATE-----",
                )?;
                for der in items {
                    if roots.add(der).is_err() {
                        let message = format!("a certificate in `{}` is not one of an authority", pem.text);
                        self.sink.error(pem.at, message);
                        return None;
                    }
                }
                Some(())
            });
            is_whole &= found.is_some();
        }
        is_whole.then(|| Arc::new(roots))
    }

    fn system(&self, at: usize) -> Option<Arc<RootCertStore>> {
        let found =
            self.system.get_or_init(|| verify::system_roots(rustls_native_certs::load_native_certs()));
        match found {
            Ok(roots) => Some(Arc::clone(roots)),
            Err(message) => {
                self.sink.error(at, message.as_str());
                None
            }
        }
    }

    /// Every item of a kind in a file; at least one.
    fn items<T: PemObject>(&self, pem: &Pem<'_>, kind: &str, label: &str) -> Option<Vec<T>> {
        let source = pem.text;
        let message = match T::pem_slice_iter(&pem.bytes).collect::<Result<Vec<T>, _>>() {
            Ok(items) if items.is_empty() => {
                format!("`{source}` holds no {kind}; expected PEM with `{label}`")
            }
            Ok(items) => return Some(items),
            Err(_) => format!("`{source}` is not valid PEM"),
        };
        self.sink.error(pem.at, message);
        None
    }

    /// The contents of the file that a key names, by its path or by a reference to either.
    fn read<'t>(&self, text: &'t Text<'_>, print: &mut impl Hasher) -> Option<Pem<'t>> {
        // A reference to a file and its path come to the same here; what stands in it is not a path.
        let path = match text.typed.strip_prefix("file:") {
            Some(path) => path,
            None if is_pem(&text.value) && text.typed.starts_with("env:") => {
                print.write(text.value.as_bytes());
                return Some(Pem { text: text.typed, at: text.at, bytes: text.value.as_bytes().to_vec() });
            }
            None if is_pem(&text.value) => {
                let message = "expected the path of a PEM file, or `env:NAME`, found PEM itself";
                self.sink.error(text.at, message);
                return None;
            }
            None => &*text.value,
        };
        let path = self.sink.base.join(path);
        match read_bounded(&path) {
            Ok(bytes) => {
                print.write(&bytes);
                let noted = || WatchedFile::new(&path, &bytes);
                self.files.borrow_mut().entry(path.clone()).or_insert_with(noted);
                Some(Pem { text: text.typed, at: text.at, bytes })
            }
            Err(error) => {
                self.sink.error(text.at, format!("the file `{}` cannot be read: {error}", text.typed));
                None
            }
        }
    }
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Tells contents apart; not meant against an attacker, who could as well write another certificate.
pub(super) fn digest(contents: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(contents);
    hasher.finish()
}

/// The contents of a regular file of a bounded size.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(io::Error::other("it is larger than 64MB"));
    }
    Ok(bytes)
}
