//! Level-triggered readiness of sockets, by number.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use rustix::event::{Timespec, epoll};

/// A set of sockets to read from.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Epoll {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { fd: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256) })
    }

    /// Watches a socket, which leaves the set when it is closed.
    pub(crate) fn add(&self, socket: impl AsFd, number: u64) -> Result<()> {
        epoll::add(&self.fd, socket, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
        Ok(())
    }

    /// Puts the numbers of the sockets that can be read into `ready`; none when the time is up.
    pub(crate) fn wait(&mut self, limit: Duration, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        self.events.clear();
        let limit = Timespec::try_from(limit)?;
        match epoll::wait(&self.fd, rustix::buffer::spare_capacity(&mut self.events), Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| event.data.u64()));
        Ok(())
    }
}
