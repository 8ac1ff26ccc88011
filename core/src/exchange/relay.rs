//! A body on its way from one connection to another: bytes in, framing taken off, framing put on, bytes out, never
//! further ahead than one buffer. Whoever waits to write does not read.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringway_http::h1::{BodyEvent, BodyReader, BodyWriter};
use ringway_http::{BodyError, Fields, Persistence};

use super::translate::Translation;
use crate::clock::Moment;
use crate::net::{Buffer, Buffers, Deadline, NetError};
use crate::wire::{Inlet, Outlet};
use crate::worker::Local;

/// Up to so many bytes are copied behind a head or a chunk size, which saves a send; more are sent from where they are.
const COPY_BYTES_MAX: usize = 4 * 1024;
/// `min_rate` is asked for from then on.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// A client that has ended its sending side gets so long for each piece of its answer: some only say that their
/// request is whole, most have left.
pub(super) const HALF_CLOSED_TIME: Duration = Duration::from_secs(1);

/// Why a body did not get through.
#[derive(Debug)]
pub(super) enum RelayError {
    /// Its sender's connection failed or was too slow.
    Read(NetError),
    /// It is malformed, or ended early.
    Body(BodyError),
    /// Its receiver's connection failed or was too slow.
    Write(NetError),
    /// It is longer than allowed.
    TooLarge,
    /// It came slower than `min_rate`.
    TooSlow,
}

/// What a body is held to. Unset: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// The most bytes.
    pub(super) bytes_max: Option<u64>,
    /// Between two reads; moves the read deadline.
    pub(super) read_timeout: Option<Duration>,
    /// For all reads together; bounds what `read_timeout` gives.
    pub(super) read_until: Option<Moment>,
    /// For each write; moves the write deadline.
    pub(super) write_timeout: Option<Duration>,
    /// Bytes per second, after ten seconds.
    pub(super) min_rate: Option<u64>,
}

/// One body, one way.
pub(super) struct Relay<'a> {
    pub(super) local: &'a Local,
    pub(super) buffers: &'a Rc<Buffers>,
    pub(super) reader: &'a mut Inlet,
    pub(super) input: &'a mut Buffer,
    pub(super) read_deadline: &'a Deadline,
    pub(super) body: &'a mut BodyReader,
    pub(super) writer: &'a mut Outlet,
    pub(super) write_deadline: &'a Deadline,
    pub(super) encoder: &'a mut BodyWriter,
    /// What becomes of the receiver's connection after the body: with [`Persistence::Close`] its end is sent as the
    /// connection's last.
    pub(super) then: Persistence,
    pub(super) pace: Pace,
    /// Bytes of the body taken in.
    pub(super) bytes_in: &'a Cell<u64>,
    /// Bytes written, framing and what stood in front included.
    pub(super) bytes_out: &'a Cell<u64>,
    /// How long its sender was waited for.
    pub(super) waited: Duration,
    /// Set once the client has ended its sending side: then what it waits for must keep coming.
    pub(super) hurried: Option<&'a Cell<bool>>,
    /// Set while the sender's bytes are awaited.
    pub(super) reading: Option<&'a Cell<bool>>,
    /// What becomes of the body's bytes; unset: nothing.
    pub(super) translation: Option<Translation>,
}

impl Relay<'_> {
    /// Relays to the end. `out` holds what is to be sent in front, such as the head.
    pub(super) async fn run(&mut self, mut out: Buffer) -> Result<(), RelayError> {
        loop {
            out = match self.take_buffered(out).await? {
                Taken::End => return Ok(()),
                Taken::More(out) => out,
            };
            if let Some(received) = self.reader.take_ready() {
                self.take_in(received)?;
                continue;
            }
            // What is here goes out before a wait that may be long.
            out = self.flush(out).await?;
            drop(std::mem::take(&mut out));
            if self.input.is_empty() {
                drop(std::mem::take(self.input));
            }
            self.more().await?;
        }
    }

    /// Forwards all that the input holds.
    async fn take_buffered(&mut self, mut out: Buffer) -> Result<Taken, RelayError> {
        loop {
            let step = self.body.step(self.input.filled()).map_err(RelayError::Body)?;
            match step.event {
                BodyEvent::Data(range) => out = self.forward(out, range, step.consumed).await?,
                BodyEvent::More => {
                    self.input.consume(step.consumed);
                    return Ok(Taken::More(out));
                }
                BodyEvent::End => {
                    self.input.consume(step.consumed);
                    out = self.finish_translation(out).await?;
                    room(self.buffers, &mut out, 64);
                    let trailers = trailers(self.translation.as_ref(), self.reader, self.body);
                    self.encoder.finish(trailers, out.append()).map_err(RelayError::Body)?;
                    self.flush_end(out).await?;
                    return Ok(Taken::End);
                }
            }
        }
    }

    /// Forwards one run of data, by copying or by handing its buffer over.
    async fn forward(
        &mut self,
        mut out: Buffer,
        range: std::ops::Range<usize>,
        consumed: usize,
    ) -> Result<Buffer, RelayError> {
        let len = range.len();
        self.bytes_in.set(self.bytes_in.get() + len as u64);
        if self.pace.bytes_max.is_some_and(|max| self.bytes_in.get() > max) {
            return Err(RelayError::TooLarge);
        }
        if let Some(translation) = &mut self.translation {
            let mut data = self.buffers.take(translation.room(len));
            let bytes = self.input.filled().get(range).unwrap_or_default();
            translation.push(bytes, data.append()).map_err(RelayError::Body)?;
            self.input.consume(consumed);
            return self.forward_translated(out, data).await;
        }
        room(self.buffers, &mut out, 64);
        let rest = self.input.len().saturating_sub(consumed);
        if len <= COPY_BYTES_MAX || rest > COPY_BYTES_MAX.max(len) {
            if out.len() + len > Buffers::SMALL && !out.is_empty() {
                out = self.flush(out).await?;
            }
            room(self.buffers, &mut out, len + 64);
            self.encoder.before_data(len, out.append()).map_err(RelayError::Body)?;
            out.append().extend_from_slice(self.input.filled().get(range).unwrap_or_default());
            self.encoder.after_data(out.append());
            self.input.consume(consumed);
            return Ok(out);
        }
        self.encoder.before_data(len, out.append()).map_err(RelayError::Body)?;
        let mut data = std::mem::take(self.input);
        if rest > 0 {
            let mut tail = self.buffers.take(Buffers::SMALL);
            tail.append().extend_from_slice(data.filled().get(consumed..).unwrap_or_default());
            *self.input = tail;
        }
        data.narrow(range);
        out = self.send(out, data).await?;
        self.encoder.after_data(out.append());
        Ok(out)
    }

    /// Sends what a translation has made.
    async fn forward_translated(&mut self, mut out: Buffer, data: Buffer) -> Result<Buffer, RelayError> {
        if data.is_empty() {
            return Ok(out);
        }
        room(self.buffers, &mut out, 64);
        self.encoder.before_data(data.len(), out.append()).map_err(RelayError::Body)?;
        out = self.send(out, data).await?;
        room(self.buffers, &mut out, 64);
        self.encoder.after_data(out.append());
        Ok(out)
    }

    /// Sends what a translation says at the body's end.
    async fn finish_translation(&mut self, out: Buffer) -> Result<Buffer, RelayError> {
        let Some(translation) = &self.translation else { return Ok(out) };
        let mut data = self.buffers.take(Buffers::SMALL);
        let trailers = self.reader.trailers().unwrap_or_else(|| self.body.trailers());
        translation.finish(trailers, data.append()).map_err(RelayError::Body)?;
        self.forward_translated(out, data).await
    }

    async fn send(&mut self, out: Buffer, data: Buffer) -> Result<Buffer, RelayError> {
        self.move_write_deadline();
        let len = (out.len() + data.len()) as u64;
        let out = if out.is_empty() {
            self.writer.send(data, self.write_deadline).await.map_err(RelayError::Write)?;
            out
        } else {
            self.writer.send_two(out, data, self.write_deadline).await.map_err(RelayError::Write)?.0
        };
        self.bytes_out.set(self.bytes_out.get() + len);
        Ok(out)
    }

    async fn flush(&mut self, out: Buffer) -> Result<Buffer, RelayError> {
        if out.is_empty() {
            return Ok(out);
        }
        self.move_write_deadline();
        let len = out.len() as u64;
        let out = self.writer.send(out, self.write_deadline).await.map_err(RelayError::Write)?;
        self.bytes_out.set(self.bytes_out.get() + len);
        Ok(out)
    }

    /// Sends the end. A connection that lives on is not kept from its next message by it.
    async fn flush_end(&mut self, out: Buffer) -> Result<(), RelayError> {
        if let Outlet::Stream(stream) = &mut *self.writer {
            let trailers = trailers(self.translation.as_ref(), self.reader, self.body);
            if let Some(timeout) = self.pace.write_timeout {
                self.write_deadline.set_sliding(timeout);
            }
            self.bytes_out.set(self.bytes_out.get() + out.len() as u64);
            return stream.end(out, trailers, self.write_deadline).await.map_err(RelayError::Write);
        }
        if out.is_empty() {
            return Ok(());
        }
        let len = out.len() as u64;
        match self.then {
            Persistence::KeepAlive => {
                if let Err(out) = self.writer.post(out) {
                    return self.flush(out).await.map(drop);
                }
            }
            Persistence::Close => {
                self.move_write_deadline();
                self.writer.send_last(out, self.write_deadline).await.map_err(RelayError::Write)?;
            }
        }
        self.bytes_out.set(self.bytes_out.get() + len);
        Ok(())
    }

    /// Receives more, or learns that nothing more comes.
    async fn more(&mut self) -> Result<(), RelayError> {
        if let Some(timeout) = self.pace.read_timeout {
            let at = self.local.now().after(timeout);
            self.read_deadline.set(self.pace.read_until.map_or(at, |until| at.min(until)));
        }
        if self.hurried.is_some_and(Cell::get) {
            self.read_deadline.set(self.local.now().after(HALF_CLOSED_TIME));
        }
        let since = self.pace.min_rate.map(|_| self.local.now());
        self.say_reading(true);
        let received = self.reader.recv(self.read_deadline).await;
        self.say_reading(false);
        self.take_in(received)?;
        let (Some(rate), Some(since)) = (self.pace.min_rate, since) else { return Ok(()) };
        // Only the waits for the sender count: a slow receiver is not its fault.
        self.waited += self.local.now().since(since);
        let got = self.bytes_in.get() + self.input.len() as u64;
        let slow =
            self.waited > RATE_GRACE && u128::from(got) < u128::from(rate) * self.waited.as_millis() / 1000;
        if slow { Err(RelayError::TooSlow) } else { Ok(()) }
    }

    /// Puts what was received behind what is here.
    fn take_in(&mut self, received: Result<Option<Buffer>, NetError>) -> Result<(), RelayError> {
        match received.map_err(RelayError::Read)? {
            Some(bytes) => self.input.absorb(bytes),
            None => self.body.end_of_input().map_err(RelayError::Body)?,
        }
        Ok(())
    }

    fn say_reading(&self, reading: bool) {
        if let Some(flag) = self.reading {
            flag.set(reading);
        }
    }

    fn move_write_deadline(&self) {
        if let Some(timeout) = self.pace.write_timeout {
            self.write_deadline.set_sliding(timeout);
        }
    }
}

/// The trailers that go on behind the body; a translation has put them into it.
fn trailers<'a>(translation: Option<&Translation>, reader: &'a Inlet, body: &'a BodyReader) -> &'a Fields {
    static NONE: Fields = Fields::new();
    match translation {
        Some(Translation::Encode(_)) => &NONE,
        Some(Translation::Decode(_)) | None => reader.trailers().unwrap_or_else(|| body.trailers()),
    }
}

enum Taken {
    /// The body has ended.
    End,
    /// The input is used up.
    More(Buffer),
}

/// Makes sure that so many bytes can be appended without growing.
fn room(buffers: &Rc<Buffers>, out: &mut Buffer, bytes: usize) {
    let vec = out.append();
    if vec.capacity() - vec.len() >= bytes {
        return;
    }
    let mut larger = buffers.take(bytes.max(Buffers::SMALL) + out.len());
    larger.append().extend_from_slice(out.filled());
    *out = larger;
}
