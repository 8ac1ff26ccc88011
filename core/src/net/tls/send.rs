//! What a [`Writer`] does once its connection speaks TLS: plaintext is encrypted into buffers of the pool, which go
//! the way that plaintext goes without TLS.

use std::io;
use std::rc::Rc;

use rustix::net::SendFlags;

use super::super::socket::Socket;
use super::super::writer::Writer;
use super::super::{Buffer, Deadline, NetError};
use super::pace::RECORD_MAX;
use super::session::{PIECE, Session};

impl Writer {
    /// [`Writer::post`]: it is asked first whether the buffer will be taken, since what is encrypted cannot be given
    /// back.
    pub(in crate::net) fn post_plain(&mut self, session: &Session, mut buffer: Buffer) -> Result<(), Buffer> {
        if !self.takes(session.sealed_len(buffer.len())) {
            return Err(buffer);
        }
        session.set_at_rest(false);
        let whole = buffer.len();
        session.begin(whole);
        let posted = match session.seal(&mut buffer, whole, whole) {
            Ok(sealed) => self.post_raw(sealed).is_ok(),
            Err(_) => false,
        };
        if posted {
            return Ok(());
        }
        // Every further send fails, which is how it shows.
        self.break_off();
        Err(buffer)
    }

    /// [`Writer::send`] and [`Writer::send_two`]: sends the first buffer, then the second.
    pub(in crate::net) async fn send_plain(
        &mut self,
        session: &Session,
        mut first: Buffer,
        mut second: Buffer,
        deadline: &Deadline,
    ) -> Result<(Buffer, Buffer), NetError> {
        self.begin(deadline).await?;
        session.set_at_rest(false);
        let whole = first.len() + second.len();
        session.begin(whole);
        if !first.is_empty() && !second.is_empty() {
            // A head and the beginning of its body are one record.
            let n = RECORD_MAX.saturating_sub(first.len()).min(first.room()).min(second.len());
            first.append().extend_from_slice(second.filled().get(..n).unwrap_or_default());
            second.consume(n);
        }
        for part in [&mut first, &mut second] {
            while !part.is_empty() {
                let sealed = session.seal(part, whole, PIECE)?;
                self.send_begun(sealed, deadline).await?;
            }
            part.clear();
        }
        self.end();
        session.set_at_rest(true);
        Ok((first, second))
    }

    /// [`Writer::send_last`]: the word that nothing follows goes with the last bytes.
    pub(in crate::net) async fn send_last_plain(
        &mut self,
        session: &Session,
        mut buffer: Buffer,
        deadline: &Deadline,
    ) -> Result<Buffer, NetError> {
        if buffer.len() > PIECE {
            let empty = Buffer::empty();
            let (back, _) = self.send_plain(session, buffer, empty, deadline).await?;
            return Ok(back);
        }
        self.begin(deadline).await?;
        session.set_at_rest(false);
        let whole = buffer.len();
        session.begin(whole);
        let mut sealed = session.seal(&mut buffer, whole, whole)?;
        session.say_farewell(&mut sealed);
        self.hand_in(&mut sealed)?;
        self.send_begun(sealed, deadline).await?;
        self.end();
        session.set_at_rest(true);
        buffer.clear();
        Ok(buffer)
    }

    /// Says that nothing follows, if that is owed, with a call that does not wait. Nothing may be in flight.
    pub(in crate::net) fn say_farewell(&mut self, session: &Session) {
        if !self.is_settled() {
            return;
        }
        let mut out = session.take_pending().unwrap_or_default();
        if session.owes_farewell() {
            if out.room() == 0 && out.is_empty() {
                out = session.buffers().take(128);
            }
            session.say_farewell(&mut out);
        }
        send_now(self.socket(), &mut out);
    }

    /// Sends the alert of a handshake that has failed, as far as that needs no wait.
    pub(super) fn send_alert(&mut self, session: &Session) {
        if let Some(mut alert) = session.take_pending()
            && self.is_settled()
        {
            send_now(self.socket(), &mut alert);
        }
    }
}

/// Sends what the kernel takes without a wait. A peer that is gone shows elsewhere.
pub(in crate::net) fn send_now(socket: &Socket, bytes: &mut Buffer) {
    while !bytes.is_empty() {
        match rustix::net::send(socket, bytes.filled(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => bytes.consume(sent),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// The session of a half whose connection speaks TLS.
pub(in crate::net) type Shared = Option<Rc<Session>>;

/// What a broken send is to those that come after it.
pub(in crate::net) fn broken() -> NetError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}
