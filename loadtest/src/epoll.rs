//! Level-triggered readiness of sockets, by number.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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

    /// Watches a socket that is in the set also for room to write, or no longer.
    pub(crate) fn watch_room(&self, socket: impl AsFd, number: u64, watches: bool) -> Result<()> {
        let flags =
            if watches { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        epoll::modify(&self.fd, socket, epoll::EventData::new_u64(number), flags)?;
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

/// A set can be watched by another set.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends all of it. Only what is long may have to wait for its reader, and then all others wait with it. False: over.
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) -> bool {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return false,
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let is_sent = stream.set_nonblocking(false).is_ok()
                    && stream.set_write_timeout(Some(Duration::from_secs(10))).is_ok()
                    && stream.write_all(rest).is_ok();
                return is_sent && stream.set_nonblocking(true).is_ok();
            }
            Err(_) => return false,
        }
    }
    true
}
