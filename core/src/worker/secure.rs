//! What this worker speaks TLS with: rustls' configurations, made from the snapshot's, so that a handshake counts no
//! references that another worker counts, too.

use std::sync::Arc;

use ringway_config::snapshot::Listener;
use ringway_config::tls::{ListenerTls, provider};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;

use crate::net::tls::{Tickets, record_hellos};

/// A listener's TLS on this worker.
#[derive(Debug)]
pub(crate) struct Secure {
    /// What the file says, with the certificates.
    pub(crate) tls: Arc<ListenerTls>,
    /// The same for rustls.
    pub(crate) config: Arc<ServerConfig>,
}

/// What a listener speaks TLS with; `None`: it does not.
pub(super) fn listener(spec: &Listener, tickets: &Tickets) -> Option<Secure> {
    let tls = Arc::clone(spec.tls.as_ref()?);
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
    // The versions are ones that the provider has.
    let builder = builder.with_protocol_versions(tls.versions()).ok()?;
    let (builder, tickets) = match &tls.client_auth {
        Some(auth) => {
            let context = [b"clients of ", spec.name.as_bytes()].concat();
            (builder.with_client_cert_verifier(Arc::clone(&auth.verifier)), tickets.within(&context))
        }
        None => (builder.with_no_client_auth(), tickets.clone()),
    };
    let mut config = builder.with_cert_resolver(record_hellos(Arc::clone(&tls.certificates) as _));
    config.ticketer = Arc::new(tickets);
    // Tickets are all: a store has a lock, and no other worker would know of it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols =
        if spec.http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Some(Secure { tls, config: Arc::new(config) })
}
