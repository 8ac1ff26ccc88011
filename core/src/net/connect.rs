//! Connecting to an endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Deadline, NetError, Stream};

/// A resolved address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Connects; TCP_NODELAY is set.
pub async fn connect(_address: &SocketAddress, _deadline: &Deadline) -> Result<Stream, NetError> {
    todo!()
}
