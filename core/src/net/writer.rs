//! The sending half of a stream.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::task::{Context, Poll};

use monoio::io::AsyncWriteRent;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use socket2::SockRef;

use super::gather::{Gather, Lent};
use super::outbox::{self, Moved, Status, Ticket};
use super::socket::Socket;
use super::tls::{Session, Shared, broken};
use super::transport::until;
use super::{Buffer, Deadline, NetError};

/// The sending half.
pub struct Writer {
    socket: Socket,
    /// The place for gathered writes, made when first needed.
    spare: Option<Box<Gather>>,
    /// Set while a send is with the kernel: one that was dropped leaves it set.
    in_flight: bool,
    /// A posted send that was not known to be over.
    posted: Option<Ticket>,
    /// Set once the connection speaks TLS: then what is given in is encrypted before it goes on.
    tls: Shared,
}

/// A second buffer up to this size is copied behind the first: cheaper than gathering.
const COPY_MAX: usize = 4096;

/// A send of so many bytes is first tried with a call of its own. The ring sends at its next turn, when many
/// connections have each filled a buffer, and the bytes of the first have left the cache; sent at once, one buffer
/// serves all. Less is not worth a call, and the pieces of long bodies cost more that way: 1.3 times as much at
/// 260 KiB.
const AT_ONCE: RangeInclusive<usize> = 16 * 1024..=72 * 1024;

impl Writer {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, spare: None, in_flight: false, posted: None, tls: None }
    }

    /// Speaks TLS from now on.
    pub(super) fn attach(&mut self, session: Rc<Session>) {
        session.set_at_rest(!self.is_in_flight());
        self.tls = Some(session);
    }

    /// Gives a buffer to the kernel and does not wait: what the kernel does not take at once is sent when it can be.
    /// An error shows at the next send or at [`Self::settle`]; until then the connection's end would cut what was
    /// posted, so settle before it. `Err`: too much is under way already; to be sent with [`Self::send`].
    pub fn post(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        match self.tls.clone() {
            None => self.post_raw(buffer),
            Some(session) => self.post_plain(&session, buffer),
        }
    }

    /// Whether so many bytes can be posted now.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        !self.in_flight && self.posted.is_none_or(|ticket| outbox::takes(ticket, bytes))
    }

    /// [`Self::post`], of the socket's bytes.
    pub(super) fn post_raw(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        if self.in_flight {
            return Err(buffer);
        }
        if let Some(ticket) = self.posted {
            if let Err(buffer) = outbox::append(ticket, buffer) {
                return match outbox::status(ticket, None) {
                    Status::Done => {
                        self.posted = Some(outbox::post(&self.socket, buffer));
                        Ok(())
                    }
                    Status::Sending(_) => Err(buffer),
                    Status::Failed(_) => {
                        // Every further send fails, which is how it shows.
                        (self.posted, self.in_flight) = (None, true);
                        Err(buffer)
                    }
                };
            }
            return Ok(());
        }
        self.posted = Some(outbox::post(&self.socket, buffer));
        Ok(())
    }

    /// Waits until the kernel has taken what was posted. What it takes meanwhile moves a sliding deadline on.
    pub async fn settle(&mut self, deadline: &Deadline) -> Result<(), NetError> {
        let Some(ticket) = self.posted else { return Ok(()) };
        if self.in_flight {
            // It was waited for in vain: a second wait would hold a client that takes nothing for twice its time.
            return Err(broken());
        }
        let settled = poll_fn(|cx| poll_status(ticket, deadline, cx)).await;
        self.settled(settled)
    }

    /// The same for who waits for several things at once.
    pub fn poll_settled(&mut self, deadline: &Deadline, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        if self.in_flight {
            return Poll::Ready(Err(broken()));
        }
        let Some(ticket) = self.posted else { return Poll::Ready(Ok(())) };
        poll_status(ticket, deadline, cx).map(|settled| self.settled(settled))
    }

    fn settled(&mut self, settled: Result<(), NetError>) -> Result<(), NetError> {
        self.in_flight = settled.is_err();
        if !matches!(settled, Err(NetError::TimedOut)) {
            self.posted = None;
        }
        self.say_at_rest();
        settled
    }

    /// Whether the kernel has taken all that was posted.
    pub fn is_settled(&mut self) -> bool {
        let Some(ticket) = self.posted else { return !self.in_flight };
        outbox::look();
        match outbox::status(ticket, None) {
            Status::Done => self.posted = None,
            Status::Sending(_) => return false,
            Status::Failed(_) => (self.posted, self.in_flight) = (None, true),
        }
        self.say_at_rest();
        !self.in_flight
    }

    fn say_at_rest(&self) {
        if let Some(session) = &self.tls {
            session.set_at_rest(!self.is_in_flight());
        }
    }

    /// Sends all of a buffer, and gives it back cleared. After an error, or when the future was dropped before its
    /// end, the connection is of no use: nobody can tell what was sent, and every further send fails. (The kernel's
    /// part keeps the memory until it is done.)
    pub async fn send(&mut self, buffer: Buffer, deadline: &Deadline) -> Result<Buffer, NetError> {
        if let Some(session) = self.tls.clone() {
            return Ok(self.send_plain(&session, buffer, Buffer::empty(), deadline).await?.0);
        }
        self.send_raw(buffer, deadline).await
    }

    /// [`Self::send`], of the socket's bytes.
    pub(super) async fn send_raw(&mut self, buffer: Buffer, deadline: &Deadline) -> Result<Buffer, NetError> {
        self.begin(deadline).await?;
        let buffer = self.send_begun(buffer, deadline).await?;
        self.end();
        Ok(buffer)
    }

    /// Sends all of a buffer, as a part of a send that has begun.
    pub(super) async fn send_begun(
        &mut self,
        mut buffer: Buffer,
        deadline: &Deadline,
    ) -> Result<Buffer, NetError> {
        buffer.consume(self.send_at_once(&buffer, &Buffer::empty(), deadline)?);
        self.send_rest(buffer, deadline).await
    }

    /// Waits until the ring has sent all that is left.
    async fn send_rest(&mut self, mut buffer: Buffer, deadline: &Deadline) -> Result<Buffer, NetError> {
        while !buffer.is_empty() {
            let mut half = self.socket.write_half();
            let (result, back) = until(half.write(buffer), deadline).await?;
            buffer = back;
            buffer.consume(progress(result)?);
            if !buffer.is_empty() {
                deadline.progressed();
            }
        }
        buffer.clear();
        Ok(buffer)
    }

    /// Sends the connection's last bytes: [`Self::finish`] or the close must follow at once. The kernel may keep what
    /// does not fill a segment until then, so that the end travels with it: one segment, and one wake-up of the
    /// client, where there would be two.
    pub async fn send_last(&mut self, mut buffer: Buffer, deadline: &Deadline) -> Result<Buffer, NetError> {
        if let Some(session) = self.tls.clone() {
            return self.send_last_plain(&session, buffer, deadline).await;
        }
        if !self.is_in_flight() {
            self.hand_in(&mut buffer)?;
        }
        // The ring waits for room.
        self.send_raw(buffer, deadline).await
    }

    /// Gives the kernel what it takes of the connection's last bytes, without a wait.
    pub(super) fn hand_in(&self, buffer: &mut Buffer) -> Result<(), NetError> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
        match rustix::net::send(&self.socket, buffer.filled(), flags) {
            Ok(sent) => buffer.consume(sent),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        Ok(())
    }

    /// Sends two buffers in one gathered write where the kernel takes it; otherwise as [`Self::send`].
    pub async fn send_two(
        &mut self,
        mut first: Buffer,
        mut second: Buffer,
        deadline: &Deadline,
    ) -> Result<(Buffer, Buffer), NetError> {
        if let Some(session) = self.tls.clone() {
            return self.send_plain(&session, first, second, deadline).await;
        }
        if second.len() <= COPY_MAX && second.len() <= first.room() {
            first.append().extend_from_slice(second.filled());
            second.clear();
        }
        if first.is_empty() {
            second = self.send_raw(second, deadline).await?;
            first.clear();
            return Ok((first, second));
        }
        self.begin(deadline).await?;
        let sent = self.send_at_once(&first, &second, deadline)?;
        consume_two(&mut first, &mut second, sent);
        while !first.is_empty() && !second.is_empty() {
            let mut gather = self.spare.take().unwrap_or_default();
            gather.load(first, second);
            let mut half = self.socket.write_half();
            let (result, Lent(mut gather)) = until(half.writev(Lent(gather)), deadline).await?;
            (first, second) = gather.unload();
            self.spare = Some(gather);
            consume_two(&mut first, &mut second, progress(result)?);
            deadline.progressed();
        }
        let first = self.send_rest(first, deadline).await?;
        let second = self.send_rest(second, deadline).await?;
        self.end();
        Ok((first, second))
    }

    /// Shuts down the sending direction (FIN after what was sent, and after TLS's own word that it ends).
    pub fn finish(&mut self) {
        if let Some(session) = self.tls.clone() {
            self.say_farewell(&session);
        }
        // A peer that is gone already needs no FIN.
        let _ = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write);
    }

    /// Makes the close of this connection a reset (`SO_LINGER` 0), so that a cut response cannot look whole.
    pub fn reset_on_close(&mut self) {
        self.leave_cut();
        // Fails only on a descriptor that is no socket.
        let _ = SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO));
    }

    /// What was sent is cut. TLS can tell an end that is meant from one that is not: this one must not look meant.
    pub fn leave_cut(&mut self) {
        if let Some(session) = &self.tls {
            session.withhold_farewell();
        }
    }

    /// Whether a send is with the kernel, or was given up there.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight || self.posted.is_some()
    }

    /// Sends what goes out without a wait; how much that was.
    fn send_at_once(&self, first: &Buffer, second: &Buffer, deadline: &Deadline) -> Result<usize, NetError> {
        if !AT_ONCE.contains(&(first.len() + second.len())) {
            return Ok(0);
        }
        let parts = [IoSlice::new(first.filled()), IoSlice::new(second.filled())];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::sendmsg(&self.socket, &parts, &mut SendAncillaryBuffer::default(), flags) {
            Ok(sent) => {
                deadline.progressed();
                Ok(sent)
            }
            // The ring waits for room.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Makes every further send fail.
    pub(super) fn break_off(&mut self) {
        self.in_flight = true;
    }

    /// A send that began has ended well.
    pub(super) fn end(&mut self) {
        self.in_flight = false;
    }

    pub(super) async fn begin(&mut self, deadline: &Deadline) -> Result<(), NetError> {
        // Nothing may overtake what was posted.
        if self.posted.is_some() {
            self.settle(deadline).await?;
        }
        if self.in_flight {
            return Err(broken());
        }
        self.in_flight = true;
        Ok(())
    }
}

fn poll_status(ticket: Ticket, deadline: &Deadline, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
    match outbox::status(ticket, Some(cx.waker())) {
        Status::Done => Poll::Ready(Ok(())),
        Status::Failed(error) => Poll::Ready(Err(error.into())),
        Status::Sending(moved) => {
            if moved == Moved::Yes {
                deadline.progressed();
            }
            deadline.poll_expired(cx).map(|()| Err(NetError::TimedOut))
        }
    }
}

fn consume_two(first: &mut Buffer, second: &mut Buffer, sent: usize) {
    let of_first = sent.min(first.len());
    first.consume(of_first);
    second.consume(sent - of_first);
}

/// Bytes of progress: an interrupted call is none, a write of nothing is a broken connection.
pub(super) fn progress(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(sent) => Ok(sent),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A task that panics has not sent all that it meant to.
        if let Some(session) = self.tls.take()
            && !std::thread::panicking()
        {
            self.say_farewell(&session);
        }
        if let Some(ticket) = self.posted {
            outbox::cancel(ticket);
        }
    }
}
