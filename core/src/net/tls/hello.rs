//! What a client's hello asked for. rustls shows it only to whoever picks the certificate, so that one takes notes.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// What a hello asked for, and what it was given.
#[derive(Debug, Default, Clone)]
pub struct Hello {
    /// The server name, in lower case, if it gave one.
    pub server_name: Option<Box<str>>,
    /// The certificate that was picked for it.
    pub certificate: Option<Arc<CertifiedKey>>,
}

thread_local! {
    /// That of the handshake step that this thread is taking.
    static HELLO: RefCell<Option<Hello>> = const { RefCell::new(None) };
}

/// Lets a resolver's picks be known to [`accept`](super::accept).
pub fn record_hellos(resolver: Arc<dyn ResolvesServerCert>) -> Arc<dyn ResolvesServerCert> {
    Arc::new(Recorder(resolver))
}

/// The hello of the last step, if it had one.
pub(super) fn take() -> Option<Hello> {
    HELLO.take()
}

#[derive(Debug)]
struct Recorder(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Recorder {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let server_name = hello.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str());
        let certificate = self.0.resolve(hello);
        HELLO.set(Some(Hello { server_name, certificate: certificate.clone() }));
        certificate
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}
