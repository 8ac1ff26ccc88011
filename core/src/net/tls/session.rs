//! One connection's TLS state, which its two halves share: ciphertext in, plaintext out, and the reverse. No IO.
//!
//! **No record that is whole stays undecrypted.** What was received is turned into plaintext at once, so that a reader
//! that has nothing ready has nothing but, at most, the beginning of a record. So a reader can promise of plaintext
//! what it promises of TCP's bytes.
//!
//! A connection that rests holds rustls' state and no buffer: the plaintext of one receive is handed out whole, and
//! the beginning of a record is kept only while there is one.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use rustls::{CommonState, Error};

use super::super::{Buffer, Buffers, NetError, Timers};
use super::engine::{Engine, Outputs, Turn};
use super::pace::Pace;

/// So much plaintext is encrypted before it is sent: with its records' overhead it fits a medium buffer, which is
/// still in the cache when the kernel copies it.
pub(in crate::net) const PIECE: usize = 64 * 1024;
/// A record's head: type, version, length.
const HEAD: usize = 5;

/// The state, shared by the halves of a connection on one thread. No borrow outlives a call.
pub(in crate::net) struct Session {
    inner: RefCell<Inner>,
    buffers: Rc<Buffers>,
    timers: Rc<Timers>,
}

struct Inner {
    engine: Engine,
    /// Records to be sent before all others: tickets that wait for the first answer, alerts.
    pending: Buffer,
    /// The beginning of a record.
    partial: Buffer,
    /// Whether rustls knows of a message that begins in `partial`: then what comes must stand behind it.
    joined: bool,
    /// Plaintext that was received and not asked for yet.
    plain: Buffer,
    /// How receiving ended.
    ended: Option<Ended>,
    pace: Pace,
    /// How sending ends.
    farewell: Farewell,
    /// Whether nothing of the writer's is with the kernel, so that a record of the reader's would overtake nothing.
    at_rest: bool,
}

/// How receiving has ended.
#[derive(Debug, Clone)]
enum Ended {
    /// The peer has said that it sends no more.
    Said,
    /// TCP ended without a word: what came may have been cut by anyone.
    Cut,
    /// The socket failed, or what came was no TLS.
    Failed(io::ErrorKind, Rc<str>),
}

/// Whether the peer is told that nothing more is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// It will be.
    Owed,
    /// It has been.
    Said,
    /// It must not be: what was sent is cut.
    Withheld,
}

impl Session {
    pub(super) fn new(engine: Engine, buffers: &Rc<Buffers>, timers: &Rc<Timers>) -> Rc<Self> {
        Rc::new(Self {
            inner: RefCell::new(Inner {
                engine,
                pending: Buffer::empty(),
                partial: Buffer::empty(),
                joined: false,
                plain: Buffer::empty(),
                ended: None,
                pace: Pace::default(),
                farewell: Farewell::Owed,
                at_rest: false,
            }),
            buffers: Rc::clone(buffers),
            timers: Rc::clone(timers),
        })
    }

    /// One step of the handshake: uses the input, and leaves in [`Self::take_pending`] what is to be sent.
    pub(super) fn shake(&self, input: &mut Buffer) -> Result<Turn, Error> {
        let inner = &mut *self.inner.borrow_mut();
        let Inner { engine, pending, plain, .. } = inner;
        let turn = engine.turn(input, &mut Outputs { plain, pending, buffers: &self.buffers });
        if engine.state().is_handshaking() {
            return turn;
        }
        // What came behind the other side's last flight is no part of the handshake, whatever it is.
        match turn {
            Ok(Turn::Closed) => inner.ended = Some(Ended::Said),
            Ok(Turn::Handshake | Turn::Traffic) => {}
            Err(error) => inner.fail(io::ErrorKind::InvalidData, &error),
        }
        Ok(Turn::Traffic)
    }

    /// Reads what both sides know.
    pub(super) fn with_state<T>(&self, read: impl FnOnce(&CommonState) -> T) -> T {
        read(self.inner.borrow().engine.state())
    }

    /// Takes in what a receive brought: bytes, the end, or an error.
    pub(in crate::net) fn take_in(&self, received: Result<Option<Buffer>, NetError>) {
        let inner = &mut *self.inner.borrow_mut();
        if inner.ended.is_some() {
            return;
        }
        match received {
            Ok(Some(bytes)) => {
                if let Err(error) = inner.open(bytes, &self.buffers) {
                    inner.fail(io::ErrorKind::InvalidData, &error);
                }
            }
            Ok(None) => inner.ended = Some(Ended::Cut),
            Err(NetError::Io(error)) => inner.fail(error.kind(), &error),
            // Receives of bytes that are there have no deadline.
            Err(NetError::TimedOut) => inner.fail(io::ErrorKind::TimedOut, &NetError::TimedOut),
        }
    }

    /// Whether plaintext, the end or an error can be taken.
    pub(in crate::net) fn is_ready(&self) -> bool {
        let inner = self.inner.borrow();
        !inner.plain.is_empty() || inner.ended.is_some()
    }

    /// Whether plaintext waits to be taken.
    pub(in crate::net) fn has_plain(&self) -> bool {
        !self.inner.borrow().plain.is_empty()
    }

    /// Whether the beginning of a record has come.
    pub(in crate::net) fn has_partial(&self) -> bool {
        !self.inner.borrow().partial.is_empty()
    }

    /// Plaintext, the end or an error, if there is any. The end and the error stay.
    pub(in crate::net) fn take_ready(&self) -> Option<Result<Option<Buffer>, NetError>> {
        let inner = &mut *self.inner.borrow_mut();
        if !inner.plain.is_empty() {
            return Some(Ok(Some(std::mem::take(&mut inner.plain))));
        }
        Some(match inner.ended.as_ref()? {
            Ended::Said => Ok(None),
            Ended::Cut => {
                let text = "the connection ended without a close_notify";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into())
            }
            Ended::Failed(kind, text) => Err(io::Error::new(*kind, text.to_string()).into()),
        })
    }

    /// Encrypts up to so many bytes from the front of `plain`, behind what must be sent first. `whole` is the size of
    /// the message that they belong to.
    pub(in crate::net) fn seal(&self, plain: &mut Buffer, whole: usize, max: usize) -> io::Result<Buffer> {
        let inner = &mut *self.inner.borrow_mut();
        if let Some(Ended::Failed(..)) = inner.ended {
            // The engine has said its last word.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let bytes = plain.len().min(max);
        let mut out = inner.begin_out(bytes, &self.buffers);
        let mut sealed = 0;
        while sealed < bytes {
            let record = inner.pace.record(whole, plain.len()).min(bytes - sealed);
            let text = plain.filled().get(..record).unwrap_or_default();
            inner.engine.seal(&mut inner.partial, text, out.append()).map_err(to_io)?;
            plain.consume(record);
            sealed += record;
        }
        Ok(out)
    }

    /// A message of so many bytes is about to be sealed.
    pub(in crate::net) fn begin(&self, bytes: usize) {
        self.inner.borrow_mut().pace.begin(bytes, || self.timers.now());
    }

    /// How large a buffer with a message of so many bytes becomes, at most.
    pub(in crate::net) fn sealed_len(&self, bytes: usize) -> usize {
        // In the worst case all of it is in small records.
        bytes + (bytes / 1_024 + 2) * super::engine::OVERHEAD + self.inner.borrow().pending.len()
    }

    /// What must be sent before all else, if there is any.
    pub(in crate::net) fn take_pending(&self) -> Option<Buffer> {
        let pending = std::mem::take(&mut self.inner.borrow_mut().pending);
        (!pending.is_empty()).then_some(pending)
    }

    /// Puts back what was not sent.
    pub(in crate::net) fn return_pending(&self, rest: Buffer) {
        self.inner.borrow_mut().pending = rest;
    }

    /// The last records, behind what `out` holds: what is pending and, where it is owed, the word that nothing follows.
    pub(in crate::net) fn say_farewell(&self, out: &mut Buffer) {
        let inner = &mut *self.inner.borrow_mut();
        let failed = matches!(inner.ended, Some(Ended::Failed(..)));
        if inner.farewell != Farewell::Owed || failed {
            return;
        }
        inner.farewell = Farewell::Said;
        // An engine that has failed has nothing to say.
        let _ = inner.engine.close_notify(&mut inner.partial, out.append());
    }

    /// Whether the close may be announced.
    pub(in crate::net) fn owes_farewell(&self) -> bool {
        let inner = self.inner.borrow();
        inner.farewell == Farewell::Owed && !matches!(inner.ended, Some(Ended::Failed(..)))
    }

    /// What was sent is cut: its end must not look like one that was meant.
    pub(in crate::net) fn withhold_farewell(&self) {
        let inner = &mut *self.inner.borrow_mut();
        if inner.farewell == Farewell::Owed {
            inner.farewell = Farewell::Withheld;
        }
    }

    /// Whether nothing of the writer's is with the kernel.
    pub(in crate::net) fn is_at_rest(&self) -> bool {
        self.inner.borrow().at_rest
    }

    /// Takes note of whether something of the writer's is with the kernel.
    pub(in crate::net) fn set_at_rest(&self, at_rest: bool) {
        self.inner.borrow_mut().at_rest = at_rest;
    }

    /// The pool.
    pub(in crate::net) fn buffers(&self) -> &Rc<Buffers> {
        &self.buffers
    }
}

impl Inner {
    fn fail(&mut self, kind: io::ErrorKind, error: &dyn std::fmt::Display) {
        self.ended = Some(Ended::Failed(kind, error.to_string().into()));
        (self.partial, self.joined) = (Buffer::empty(), false);
        if self.plain.is_empty() {
            self.plain = Buffer::empty();
        }
    }

    /// A buffer for so much plaintext and its records, that begins with what is pending.
    fn begin_out(&mut self, bytes: usize, buffers: &Rc<Buffers>) -> Buffer {
        // Some records more than full ones, since the first may be small.
        let records = 16 + bytes / super::pace::RECORD_MAX;
        let records = if bytes > super::pace::RECORD_MAX { records } else { 2 };
        let mut out = buffers.take(bytes + records * super::engine::OVERHEAD + self.pending.len());
        out.append().extend_from_slice(self.pending.filled());
        self.pending = Buffer::empty();
        out
    }

    /// Decrypts all records that are whole.
    fn open(&mut self, mut cipher: Buffer, buffers: &Rc<Buffers>) -> Result<(), Error> {
        // The record that has begun is completed first; what is behind it is used where it lies.
        while !self.partial.is_empty() && !cipher.is_empty() {
            let wanted = if self.joined { cipher.len() } else { missing(&self.partial) };
            let n = wanted.min(cipher.len());
            // A head that is whole is looked at, so that what is no TLS is not waited for.
            let headless = self.partial.len() < HEAD;
            self.partial.append().extend_from_slice(cipher.filled().get(..n).unwrap_or_default());
            cipher.consume(n);
            if self.joined || headless || missing(&self.partial) == 0 {
                let mut partial = std::mem::take(&mut self.partial);
                self.run(&mut partial, buffers)?;
                if !partial.is_empty() && self.ended.is_none() {
                    self.joined = missing(&partial) == 0;
                    self.partial = partial;
                } else {
                    self.joined = false;
                }
            }
        }
        if cipher.is_empty() || self.ended.is_some() {
            return Ok(());
        }
        self.run(&mut cipher, buffers)?;
        if cipher.is_empty() || self.ended.is_some() {
            return Ok(());
        }
        // Kept in a buffer of the record's size: what was received may be much larger.
        let missing = missing(&cipher);
        self.joined = missing == 0;
        self.partial = buffers.take(cipher.len() + missing);
        self.partial.append().extend_from_slice(cipher.filled());
        Ok(())
    }

    fn run(&mut self, input: &mut Buffer, buffers: &Rc<Buffers>) -> Result<(), Error> {
        if self.plain.is_empty() && input.len() > HEAD {
            self.plain = buffers.take(input.len());
        }
        let Self { engine, pending, plain, .. } = self;
        let turn = engine.turn(input, &mut Outputs { plain, pending, buffers })?;
        if self.plain.is_empty() {
            self.plain = Buffer::empty();
        }
        if turn == Turn::Closed {
            self.ended = Some(Ended::Said);
        }
        Ok(())
    }
}

/// How many bytes are missing of the record that the bytes begin with, as far as its head tells; 0: none.
fn missing(bytes: &Buffer) -> usize {
    let filled = bytes.filled();
    match *filled {
        [_, _, _, high, low, ..] => {
            (HEAD + usize::from(u16::from_be_bytes([high, low]))).saturating_sub(filled.len())
        }
        _ => HEAD.saturating_sub(filled.len()),
    }
}

fn to_io(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
