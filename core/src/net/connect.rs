//! Connecting to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use socket2::{SockAddr, SockRef};

use super::socket::is_epoll;
use super::transport::until;
use super::{Deadline, NetError, Peer, Stream};

/// A resolved address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Connects; `TCP_NODELAY` is set. When the deadline passes, or the future is dropped, the attempt's socket is
/// closed.
///
/// The call itself is the kernel's own non-blocking connect, so that nothing but a watch is ever with the driver.
pub async fn connect(address: &SocketAddress, deadline: &Deadline) -> Result<Stream, NetError> {
    let (family, peer, name) = match address {
        SocketAddress::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            (family, Peer::Socket(*address), SockAddr::from(*address))
        }
        SocketAddress::Unix(path) => (AddressFamily::UNIX, Peer::Unix, SockAddr::unix(path)?),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd: OwnedFd =
        rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(io::Error::from)?;
    let socket = SockRef::from(&fd);
    if let Peer::Socket(_) = peer {
        socket.set_nodelay(true)?;
    }
    let connecting = match socket.connect(&name) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => true,
        Err(error) => return Err(error.into()),
    };
    let stream = Stream::new(fd, peer)?;
    if connecting {
        until(stream.writable(), deadline).await??;
        if let Some(error) = stream.take_error()? {
            return Err(error.into());
        }
    }
    if !is_epoll() {
        stream.make_blocking()?;
    }
    Ok(stream)
}
