//! What a [`Reader`] does once its connection speaks TLS: the same promises, made of plaintext.

use std::task::{Context, Poll, Waker};

use super::super::reader::{Hold, Reader};
use super::super::{Buffer, NetError};
use super::session::Session;

impl Reader {
    /// Ready when plaintext, the end or an error can be taken: what is no plaintext (a part of a record, a ticket, new
    /// keys) wakes nobody.
    pub(in crate::net) fn poll_plain(&mut self, session: &Session, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if session.is_ready() {
                return Poll::Ready(());
            }
            match self.take_raw() {
                Some(received) => self.open(session, received),
                None => std::task::ready!(self.poll_raw(cx)),
            }
        }
    }

    /// Looks whether something has come already, with one call and nothing armed.
    pub(super) fn look(&mut self, session: &Session) {
        if let Some(received) = self.raw_now() {
            self.open(session, Ok(Some(received)));
        }
    }

    /// What has come already, with one call and nothing armed.
    pub(in crate::net) fn plain_now(&mut self, session: &Session) -> Option<Buffer> {
        if !session.is_ready() {
            self.look(session);
        }
        if !session.has_plain() {
            return None;
        }
        session.take_ready()?.ok()?
    }

    /// Whether nothing has come that an exchange would have to do with. The beginning of a record is something.
    pub(in crate::net) fn is_plain_quiet(&mut self, session: &Session) -> bool {
        loop {
            if session.is_ready() || session.has_partial() {
                return false;
            }
            self.look_for_more();
            if self.poll_intake(Hold::Buffer, &mut Context::from_waker(Waker::noop())).is_pending() {
                return true;
            }
            if let Some(received) = self.take_raw() {
                self.open(session, received);
            }
        }
    }

    /// Decrypts, and sends at once what that made (an alert) if nothing else is being sent.
    fn open(&mut self, session: &Session, received: Result<Option<Buffer>, NetError>) {
        session.take_in(received);
        if session.is_at_rest() {
            self.send_pending(session);
        }
    }
}
