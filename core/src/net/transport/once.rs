//! What a connection does once, at its ends, with calls that never wait: its first receive, its last send, and the
//! question whether a close would lose anything.

use std::io;

use rustix::net::{RecvFlags, SendFlags};

use super::{Buffer, Deadline, NetError, Reader, Readiness, Writer, would_block};

impl Reader {
    /// What has come already, with one receive and no watch; for a connection that was just accepted, whose request is
    /// often there. An end or an error is kept for [`Reader::recv`].
    pub fn recv_now(&mut self) -> Option<Buffer> {
        match self.take_now()? {
            Ok(Some(buffer)) => return Some(buffer),
            Ok(None) => self.state = Readiness::Ready,
            Err(_) => self.state = Readiness::Failed,
        }
        None
    }

    /// Whether nothing that has come is unread. A close with unread bytes would be a reset.
    pub fn has_read_all(&self) -> bool {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        match rustix::net::recv(&self.socket, &mut [0_u8; 1], flags) {
            Ok((_, received)) => received == 0,
            Err(error) => would_block(error),
        }
    }
}

impl Writer {
    /// Sends the connection's last bytes: [`Self::finish`] or the close must follow at once. The kernel may keep what
    /// does not fill a segment until then, so that the end travels with it: one segment, and one wake-up of the
    /// client, where there would be two.
    pub async fn send_last(&mut self, mut buffer: Buffer, deadline: &Deadline) -> Result<Buffer, NetError> {
        if self.in_flight {
            return self.send(buffer, deadline).await;
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
        match rustix::net::send(&self.socket, buffer.filled(), flags) {
            Ok(sent) => buffer.consume(sent),
            Err(error) if would_block(error) || error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        // The ring waits for room.
        self.send(buffer, deadline).await
    }
}
