//! What is spoken on either side of a target.

use anyhow::Result;

use crate::tls::Client;

/// What a target's clients and its origin speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) security: Security,
    /// Streams that a client keeps open on each connection; 0: it speaks HTTP/1.1.
    pub(crate) streams: usize,
    pub(crate) origin: Origin,
}

/// How clients come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    Clear,
    Tls,
}

/// What the target speaks to the origin, which knows all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Http1,
    /// HTTP/2 in clear, by prior knowledge.
    H2c,
    /// The same, and it is a gRPC service.
    Grpc,
}

impl Wire {
    /// HTTP/1.1 in clear.
    pub(crate) const PLAIN: Self = Self { security: Security::Clear, streams: 0, origin: Origin::Http1 };
    pub(crate) const TLS: Self = Self { security: Security::Tls, ..Self::PLAIN };

    pub(crate) fn is_tls(self) -> bool {
        self.security == Security::Tls
    }

    /// Whether clients speak HTTP/2.
    pub(crate) fn is_h2(self) -> bool {
        self.streams > 0
    }

    /// How the load's sessions begin, without resuming another; none: in clear.
    pub(crate) fn client(self) -> Result<Option<Client>> {
        let protocol = if self.is_h2() { "h2" } else { "http/1.1" };
        self.is_tls().then(|| Client::new(protocol)).transpose()
    }
}
