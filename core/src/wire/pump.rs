//! Moves the bytes of a connection that carries many streams: what comes is fed to the protocol's machine, and all that
//! the machine has to say in one turn goes out in one write.

use std::task::{Context, Poll};
use std::time::Duration;

use ringway_http::h2::{Client, Flood, Server};

use crate::net::{Buffer, Buffers, Deadline, Hold, Reader, Writer};
use crate::worker::Local;

/// A machine without IO.
pub(crate) trait Machine {
    /// Takes what was received, at a time since any fixed point.
    fn feed(&mut self, bytes: &[u8], now: Duration) -> Result<(), Flood>;
    /// Nothing more will be received.
    fn end_of_input(&mut self);
    /// Whether it takes more.
    fn wants_input(&self) -> bool;
    /// Moves what is to be sent into `out`.
    fn take_output(&mut self, out: &mut Vec<u8>) -> usize;
    /// Bytes that are to be sent.
    fn output_len(&self) -> usize;
}

macro_rules! is_machine {
    ($machine:ident) => {
        impl Machine for $machine<Buffer> {
            fn feed(&mut self, bytes: &[u8], now: Duration) -> Result<(), Flood> {
                $machine::feed(self, bytes, now)
            }

            fn end_of_input(&mut self) {
                $machine::end_of_input(self);
            }

            fn wants_input(&self) -> bool {
                $machine::wants_input(self)
            }

            fn take_output(&mut self, out: &mut Vec<u8>) -> usize {
                $machine::take_output(self, out)
            }

            fn output_len(&self) -> usize {
                $machine::output_len(self)
            }
        }
    };
}

is_machine!(Server);
is_machine!(Client);

/// Why no more bytes can be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The peer's connection failed, or it took nothing for its time.
    Peer,
    /// The peer sent too much of something; the machine has an answer to it.
    Flood(Flood),
}

/// The socket under a machine.
pub(crate) struct Pump {
    reader: Reader,
    writer: Writer,
    /// What the writer did not take yet.
    unsent: Option<Buffer>,
    /// For what the peer does not take.
    deadline: Deadline,
    /// The time that it has for that.
    patience: Duration,
    has_ended: bool,
}

/// What a machine writes its next output into.
const OUTPUT_BYTES: usize = Buffers::SMALL;

impl Pump {
    /// Over a connected socket. A peer that takes nothing for so long is given up.
    pub(crate) fn new(reader: Reader, writer: Writer, local: &Local, patience: Duration) -> Self {
        let deadline = local.timers.deadline();
        Self { reader, writer, unsent: None, deadline, patience, has_ended: false }
    }

    /// Feeds what has been received. `true`: something was.
    pub(crate) fn receive(
        &mut self,
        machine: &mut impl Machine,
        local: &Local,
        cx: &mut Context<'_>,
    ) -> Result<bool, Broken> {
        let mut any = false;
        while !self.has_ended && machine.wants_input() {
            match self.reader.poll_recv(cx) {
                Poll::Ready(Ok(Some(bytes))) => {
                    machine
                        .feed(bytes.filled(), Duration::from_nanos(local.now().0))
                        .map_err(Broken::Flood)?;
                }
                Poll::Ready(Ok(None)) => {
                    self.has_ended = true;
                    machine.end_of_input();
                }
                Poll::Ready(Err(_)) => return Err(Broken::Peer),
                Poll::Pending => break,
            }
            any = true;
        }
        Ok(any)
    }

    /// Gives what the machine has to say to the kernel. `true`: something was taken from it.
    pub(crate) fn send(
        &mut self,
        machine: &mut impl Machine,
        local: &Local,
        cx: &mut Context<'_>,
    ) -> Result<bool, Broken> {
        if let Some(unsent) = self.unsent.take() {
            match self.writer.poll_settled(&self.deadline, cx) {
                Poll::Pending => {
                    self.unsent = Some(unsent);
                    return Ok(false);
                }
                Poll::Ready(Err(_)) => return Err(Broken::Peer),
                Poll::Ready(Ok(())) => self.writer.post(unsent).map_err(|_| Broken::Peer)?,
            }
            self.deadline.clear();
        }
        if machine.output_len() == 0 {
            return Ok(false);
        }
        let mut out = local.buffers.take(OUTPUT_BYTES);
        machine.take_output(out.append());
        if let Err(unsent) = self.writer.post(out) {
            self.deadline.set_sliding(self.patience);
            self.unsent = Some(unsent);
            // Takes note of who waits.
            if let Poll::Ready(Err(_)) = self.writer.poll_settled(&self.deadline, cx) {
                return Err(Broken::Peer);
            }
        }
        Ok(true)
    }

    /// Whether all that was taken from the machine has been taken by the kernel.
    pub(crate) fn is_settled(&mut self) -> bool {
        self.unsent.is_none() && self.writer.is_settled()
    }

    /// What waits for bytes may hold.
    pub(crate) fn set_hold(&mut self, hold: Hold) {
        self.reader.set_hold(hold);
    }

    /// Gives up what a wait holds.
    pub(crate) async fn let_go(&mut self) {
        self.reader.let_go().await;
    }

    /// The socket's halves, for its close.
    pub(crate) fn into_halves(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// Sends what is left, within the peer's time.
    pub(crate) async fn flush(&mut self, machine: &mut impl Machine, local: &Local) -> Result<(), Broken> {
        loop {
            self.deadline.set_sliding(self.patience);
            if let Some(unsent) = self.unsent.take() {
                self.writer.send(unsent, &self.deadline).await.map_err(|_| Broken::Peer)?;
            }
            if machine.output_len() == 0 {
                return self.writer.settle(&self.deadline).await.map_err(|_| Broken::Peer);
            }
            let mut out = local.buffers.take(OUTPUT_BYTES);
            machine.take_output(out.append());
            self.unsent = Some(out);
        }
    }
}
