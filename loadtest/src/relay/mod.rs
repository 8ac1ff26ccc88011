//! The floor: a relay that copies bytes between two sockets and parses nothing. A proxy that reads and writes each
//! message once can hardly cost less on the same machine, so it shows what part of a target's cost is the kernel's.

mod flow;
mod poll;
mod ring;
mod turn;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};

use ring::Ring;

/// What moves the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The cheaper one.
    Ring,
    /// For machines that refuse a ring.
    Epoll,
}

impl Driver {
    /// The driver of that name; none given: the best that this machine allows.
    pub(crate) fn choose(name: Option<&str>) -> Result<Self> {
        match name {
            None => Ok(if Ring::new().is_ok() { Self::Ring } else { Self::Epoll }),
            Some("ring") => Ok(Self::Ring),
            Some("epoll") => Ok(Self::Epoll),
            Some(other) => bail!("--driver: `{other}` is none, known: ring, epoll"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ring => "io_uring, SINGLE_ISSUER and DEFER_TASKRUN, multishot recv into provided buffers",
            Self::Epoll => "epoll",
        }
    }
}

/// Relays until an error of its own; each client gets a connection to `to`.
pub(crate) fn run(driver: Driver, listener: &TcpListener, to: SocketAddr) -> Result<()> {
    match driver {
        Driver::Ring => turn::run(Ring::new().context("no ring")?, listener, to),
        Driver::Epoll => poll::run(listener, to),
    }
}

#[cfg(test)]
mod tests;
