//! The receiving half of a stream.
//!
//! On the ring, a busy connection has one receive with the kernel, which holds a small buffer: when bytes come they
//! are in it, and no call was made for them. A connection that rests holds no buffer, only a watch for readability;
//! what it says can be read is taken with one call that does not wait. What keeps a buffer full is also taken with
//! such calls, into larger and larger ones, and a connection that has needed large ones is watched rather than given
//! one to wait with: the same few serve all, and their bytes are still in the cache when they are sent.
//!
//! **No byte is lost to a receive that is given up.** [`Reader::let_go`] gives one up only where the kernel
//! completes nothing but within this thread's own calls (`DEFER_TASKRUN`), after the driver has looked at every
//! completion there is, and while completions cannot overflow their queue: a receive that is still pending then has
//! taken nothing, and its cancellation, which goes to the kernel ahead of the next look, finds it so. Where that
//! cannot be promised no receive is armed. Any other future here may be dropped at any time: the receive belongs to
//! the reader, not to the future that waits for it.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rustix::buffer::spare_capacity;
use rustix::net::RecvFlags;

use super::deadline::{ask_for_turn, turns};
use super::intake::{Armed, Intake};
use super::socket::{Receives, Socket, is_epoll};
use super::tls::{Session, Shared, send_now};
use super::{Buffer, Buffers, Deadline, NetError};

/// What is known about bytes to be taken.
enum Readiness {
    /// Nothing; a watch or a receive may be armed.
    Unknown,
    /// The last buffer came back full, so there may be more.
    Likely,
    /// A watch said so.
    Ready,
    /// The armed receive has taken them. `None`: the end.
    Received(Option<Buffer>),
    /// The watch or the receive failed.
    Failed(io::Error),
}

/// What a reader's waits may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A small buffer, lent to the kernel: for waits that will be short.
    Buffer,
    /// No memory.
    Nothing,
}

/// The receiving half. What it has armed stays armed between calls.
pub struct Reader {
    intake: Intake,
    socket: Socket,
    buffers: Rc<Buffers>,
    state: Readiness,
    hold: Hold,
    /// Index into [`STEPS`]: bodies that keep a buffer full get larger ones.
    step: u8,
    /// Receives in a row without a wait; large ones count for more.
    row: u8,
    /// Set once the connection speaks TLS: then all below is ciphertext, and what is promised holds for plaintext.
    tls: Shared,
    _counted: Receives,
}

/// Receives in a row before other connections get a turn: about 1 MiB of a large body.
const ROW_MAX: u8 = 16;

const STEPS: [usize; 4] = [Buffers::TINY, Buffers::SMALL, Buffers::MEDIUM, Buffers::LARGE];
const STEP_MAX: u8 = 3;
const _: () = assert!(STEPS.len() == STEP_MAX as usize + 1);

impl Reader {
    pub(super) fn new(socket: Socket, buffers: &Rc<Buffers>) -> Self {
        Self {
            intake: Intake::default(),
            socket,
            buffers: Rc::clone(buffers),
            state: Readiness::Unknown,
            hold: Hold::Buffer,
            step: 0,
            row: 0,
            tls: None,
            _counted: Receives::new(),
        }
    }

    /// Speaks TLS from now on.
    pub(super) fn attach(&mut self, session: Rc<Session>) {
        self.tls = Some(session);
    }

    /// The pool.
    pub(super) fn buffers(&self) -> &Rc<Buffers> {
        &self.buffers
    }

    /// Sends what the session has to say by itself, as far as that needs no wait.
    pub(super) fn send_pending(&self, session: &Session) {
        if let Some(mut pending) = session.take_pending() {
            send_now(&self.socket, &mut pending);
            if !pending.is_empty() {
                session.return_pending(pending);
            }
        }
    }

    /// What waits may hold from now on; a buffer at first. What is armed already stays.
    pub fn set_hold(&mut self, hold: Hold) {
        self.hold = hold;
    }

    /// What waits may hold.
    pub fn hold(&self) -> Hold {
        self.hold
    }

    /// Ready when bytes, the end or an error can be taken. A peer that always has more is made to wait for a turn
    /// now and then, so that it does not keep others from theirs.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.tls.clone() {
            None => self.poll_raw(cx),
            Some(session) => self.poll_plain(&session, cx),
        }
    }

    /// [`Self::poll_readable`], of the socket's bytes.
    pub(super) fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.row >= ROW_MAX && is_epoll() {
            self.row = 0;
            ask_for_turn(cx.waker());
            return Poll::Pending;
        }
        let readable = self.poll_intake(self.hold, cx);
        // The ring had its turn before anything armed is complete; epoll only when there was a wait.
        if readable.is_pending() || !is_epoll() {
            self.row = 0;
        }
        readable
    }

    pub(super) fn poll_intake(&mut self, hold: Hold, cx: &mut Context<'_>) -> Poll<()> {
        match self.state {
            Readiness::Ready | Readiness::Received(_) | Readiness::Failed(_) => return Poll::Ready(()),
            // Likely: what comes wants a large buffer.
            Readiness::Unknown | Readiness::Likely => {}
        }
        if self.intake.armed() == Armed::Nothing
            && hold == Hold::Buffer
            && matches!(self.state, Readiness::Unknown)
            && self.size() <= Buffers::SMALL
            && Receives::may_arm()
        {
            self.intake.arm_receive(&self.socket, self.buffers.take(self.size()));
        }
        if self.intake.armed() == Armed::Receive {
            let Poll::Ready((result, buffer)) = self.intake.poll_receive(cx) else { return Poll::Pending };
            self.state = match result {
                Ok(0) => Readiness::Received(None),
                Ok(_) => Readiness::Received(Some(buffer)),
                Err(error) => Readiness::Failed(error),
            };
            return Poll::Ready(());
        }
        self.intake.poll_watch(&self.socket, cx).map(|result| {
            self.state = result.map_or_else(Readiness::Failed, |()| Readiness::Ready);
        })
    }

    /// Ends this half; its socket, if the driver has never had anything to do with this half.
    pub(super) fn into_unwatched(self) -> Option<Socket> {
        self.intake.is_unused().then_some(self.socket)
    }

    /// Waits for bytes and takes what is there into a buffer of the pool. `None` is the end. May be dropped at no
    /// loss, and the connection goes on after [`NetError::TimedOut`].
    pub async fn recv(&mut self, deadline: &Deadline) -> Result<Option<Buffer>, NetError> {
        poll_fn(|cx| {
            if let Poll::Ready(received) = self.poll_recv(cx) {
                return Poll::Ready(received);
            }
            deadline.poll_expired(cx).map(|()| Err(NetError::TimedOut))
        })
        .await
    }

    /// The same for who waits for several things at once.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Buffer>, NetError>> {
        loop {
            if let Some(result) = self.take_now() {
                return Poll::Ready(result);
            }
            std::task::ready!(self.poll_readable(cx));
        }
    }

    /// What has come already, with one call and nothing armed; for a connection that was just accepted, whose request
    /// is often there. An end or an error is kept for [`Self::recv`].
    pub fn recv_now(&mut self) -> Option<Buffer> {
        match self.tls.clone() {
            None => self.raw_now(),
            Some(session) => self.plain_now(&session),
        }
    }

    /// [`Self::recv_now`], of the socket's bytes. None while a receive is armed, which it would overtake.
    pub(super) fn raw_now(&mut self) -> Option<Buffer> {
        if self.intake.armed() == Armed::Receive
            || !matches!(self.state, Readiness::Unknown | Readiness::Likely)
        {
            return None;
        }
        let mut buffer = self.buffers.take(Buffers::TINY);
        match self.receive(&mut buffer) {
            Ok(0) => self.state = Readiness::Received(None),
            Ok(_) => return Some(buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.state = Readiness::Failed(error),
        }
        None
    }

    /// Whether nothing that has come is unread. A close with unread bytes would be a reset.
    pub fn has_read_all(&self) -> bool {
        if self.tls.as_ref().is_some_and(|session| session.has_plain()) {
            return false;
        }
        // It may be followed by more.
        if let Readiness::Received(Some(_)) = self.state {
            return false;
        }
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        match rustix::net::recv(&self.socket, &mut [0_u8; 1], flags) {
            Ok((_, received)) => received == 0,
            Err(error) => would_block(error),
        }
    }

    /// Gives up an armed receive and its buffer, so that a long wait holds none, and later ones neither. What it has
    /// taken by then stays.
    pub async fn let_go(&mut self) {
        self.hold = Hold::Nothing;
        if self.intake.armed() != Armed::Receive {
            return self.intake.drop_receive();
        }
        // Two turns: the first may be the end of one that had begun before the receive was armed.
        for _ in 0..2 {
            let before = turns();
            poll_fn(|cx| {
                if turns() != before {
                    return Poll::Ready(());
                }
                ask_for_turn(cx.waker());
                Poll::Pending
            })
            .await;
        }
        poll_fn(|cx| {
            // There may be more readers now than when it was armed. Then completions could overflow, and one that is
            // still behind their queue be taken for none: the buffer is kept instead.
            let may_drop = self.poll_intake(Hold::Nothing, cx).is_pending() && Receives::may_arm();
            if may_drop || self.intake.armed() != Armed::Receive {
                self.intake.drop_receive();
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Whether nothing has come yet: no bytes, no end, no error. Arms what tells, waits for nothing. What comes
    /// after that was armed is seen once the driver has looked, so a later call may say otherwise.
    pub fn is_quiet(&mut self) -> bool {
        if let Some(session) = self.tls.clone() {
            return self.is_plain_quiet(&session);
        }
        self.look_for_more();
        self.poll_intake(Hold::Buffer, &mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Finds out whether what is likely is so.
    pub(super) fn look_for_more(&mut self) {
        if matches!(self.state, Readiness::Likely) {
            let mut byte = [0_u8; 1];
            let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
            self.state = match rustix::net::recv(&self.socket, &mut byte, flags) {
                Err(error) if would_block(error) => Readiness::Unknown,
                Ok(_) | Err(_) => Readiness::Ready,
            };
        }
    }

    /// What is known to be there, without a wait.
    fn take_now(&mut self) -> Option<Result<Option<Buffer>, NetError>> {
        match &self.tls {
            None => self.take_raw(),
            Some(session) => session.take_ready(),
        }
    }

    /// [`Self::take_now`], of the socket's bytes.
    pub(super) fn take_raw(&mut self) -> Option<Result<Option<Buffer>, NetError>> {
        match std::mem::replace(&mut self.state, Readiness::Unknown) {
            Readiness::Unknown => None,
            Readiness::Likely if self.row >= ROW_MAX => {
                self.state = Readiness::Likely;
                None
            }
            state @ (Readiness::Likely | Readiness::Ready) => {
                let mut buffer = self.buffers.take(self.size().max(Buffers::SMALL));
                let received = match self.receive(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                    Err(error) => return Some(Err(error.into())),
                    Ok(0) => return Some(Ok(None)),
                    Ok(received) => received,
                };
                // The rest of what did not fit says nothing about what comes next.
                if matches!(state, Readiness::Ready) {
                    self.step_down(received);
                }
                Some(Ok(Some(buffer)))
            }
            Readiness::Received(Some(buffer)) if buffer.room() == 0 => Some(Ok(Some(self.top_up(&buffer)))),
            Readiness::Received(received) => {
                self.step_down(received.as_ref().map_or(0, Buffer::len));
                Some(Ok(received))
            }
            Readiness::Failed(error) => Some(Err(error.into())),
        }
    }

    fn size(&self) -> usize {
        STEPS.get(usize::from(self.step)).copied().unwrap_or(Buffers::SMALL)
    }

    fn step_up(&mut self) {
        self.step = (self.step + 1).min(STEP_MAX);
    }

    /// A wait has brought so many bytes: smaller buffers will do if they were few.
    fn step_down(&mut self, received: usize) {
        if received < self.size() / 4 {
            self.step = self.step.saturating_sub(1);
        }
    }

    /// One call that does not wait, behind what the buffer holds.
    fn receive(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let room = buffer.room();
        let received = loop {
            match rustix::net::recv(&self.socket, spare_capacity(buffer.append()), RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok((_, received)) => break received,
            }
        };
        if received > 0 {
            let weight = u8::try_from(1 + received / Buffers::MEDIUM).unwrap_or(u8::MAX);
            self.row = self.row.saturating_add(weight);
        }
        if received == room {
            self.state = Readiness::Likely;
            self.step_up();
        }
        Ok(received)
    }

    /// A small buffer came back full: takes what is behind it, so that a body does not begin with a small piece.
    fn top_up(&mut self, full: &Buffer) -> Buffer {
        self.step_up();
        let mut larger = self.buffers.take(self.size().max(full.len() * 2));
        larger.append().extend_from_slice(full.filled());
        match self.receive(&mut larger) {
            // The end, which the next receive meets again.
            Ok(0) => self.state = Readiness::Ready,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.state = Readiness::Failed(error),
        }
        larger
    }
}

fn would_block(error: rustix::io::Errno) -> bool {
    error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::WOULDBLOCK
}
