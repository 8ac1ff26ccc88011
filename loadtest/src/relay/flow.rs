//! One direction of a relayed connection, as states: what is read, what waits to be sent, and what comes next. It
//! does no IO; `turn` does what it asks for.

use std::collections::VecDeque;

use super::ring::{LARGE_BYTES, Memory, PIECE_BYTES};

/// Reading stops while so many pieces wait for the receiver: its slowness goes on to the sender.
const WAITING_MAX: usize = 8;
/// So many short reads in a row, and a connection that has used a large buffer gives it back.
const SHORT_READS: u8 = 16;
/// A read of so many bytes is short.
const SHORT_BYTES: u32 = PIECE_BYTES / 2;

/// Bytes that have been read and wait to be sent, or are being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) memory: Memory,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The reading half.
///
/// ```text
/// Off -> On -> Stopping -> Off     short messages: one operation for all of them
///  |                        ^
///  +---> Once --------------+      long ones: an operation for each read, into a large buffer
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Off,
    On,
    /// Cancelled; what was read before is still to come.
    Stopping,
    Once(Memory),
    Ended,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    ReadOn,
    ReadLarge(Memory),
    /// A large buffer is to be had first.
    WantLarge,
    StopReading,
    /// All has been sent, and nothing more will come.
    End,
}

#[derive(Debug)]
pub(super) struct Flow {
    reading: Reading,
    /// The first one is being sent, if `is_sending`.
    waiting: VecDeque<Part>,
    is_sending: bool,
    /// Short reads until a large buffer is given back; 0: pieces are used.
    large_for: u8,
    /// Kept between two reads into it.
    large: Option<Memory>,
    is_over: bool,
}

impl Flow {
    pub(super) fn new() -> Self {
        let waiting = VecDeque::with_capacity(WAITING_MAX);
        Self { reading: Reading::Off, waiting, is_sending: false, large_for: 0, large: None, is_over: false }
    }

    /// Something has been read; into a piece, if the kernel chose one.
    pub(super) fn has_read(&mut self, bytes: u32, piece: Option<u16>, is_on: bool) {
        let memory = match (self.reading, piece) {
            (Reading::Once(memory), _) => memory,
            (_, Some(piece)) => Memory::Piece(piece),
            (_, None) => return self.has_stopped(),
        };
        if !is_on {
            self.reading = Reading::Off;
        }
        if bytes >= PIECE_BYTES {
            self.large_for = SHORT_READS;
        } else if bytes < SHORT_BYTES {
            self.large_for = self.large_for.saturating_sub(1);
        }
        self.waiting.push_back(Part { memory, start: 0, end: bytes });
    }

    /// The reading operation is over, without bytes and without harm.
    pub(super) fn has_stopped(&mut self) {
        if let Reading::Once(memory) = self.reading {
            self.large = Some(memory);
        }
        self.reading = Reading::Off;
    }

    /// All pieces are in use: it takes memory of its own, so that slow receivers elsewhere do not hold it up.
    pub(super) fn has_found_no_piece(&mut self) {
        self.has_stopped();
        self.large_for = SHORT_READS;
    }

    /// The sender has closed its side.
    pub(super) fn has_ended(&mut self) {
        self.has_stopped();
        self.reading = Reading::Ended;
    }

    /// The part that is to be sent now, if any; it is being sent from now on.
    pub(super) fn start_sending(&mut self) -> Option<Part> {
        let part = *self.waiting.front().filter(|_| !self.is_sending)?;
        self.is_sending = true;
        Some(part)
    }

    /// So much of the part has been sent; memory that is free now is given out.
    pub(super) fn has_sent(&mut self, bytes: u32) -> Option<Memory> {
        self.is_sending = false;
        let part = self.waiting.front_mut()?;
        part.start = part.start.saturating_add(bytes).min(part.end);
        if part.start < part.end {
            return None;
        }
        let Part { memory, .. } = self.waiting.pop_front()?;
        match memory {
            Memory::Large(_) => {
                self.large = Some(memory);
                None
            }
            Memory::Piece(_) => Some(memory),
        }
    }

    pub(super) fn next(&mut self) -> Next {
        let is_drained = self.waiting.is_empty();
        match self.reading {
            Reading::On if self.large_for > 0 || self.waiting.len() >= WAITING_MAX => {
                self.reading = Reading::Stopping;
                Next::StopReading
            }
            Reading::Off if is_drained && self.large_for > 0 => match self.large.take() {
                Some(memory) => self.read_large(memory),
                None => Next::WantLarge,
            },
            Reading::Off if is_drained => {
                self.reading = Reading::On;
                Next::ReadOn
            }
            Reading::Ended if is_drained && !self.is_over => {
                self.is_over = true;
                Next::End
            }
            Reading::Off | Reading::On | Reading::Stopping | Reading::Once(_) | Reading::Ended => {
                Next::Nothing
            }
        }
    }

    /// Reads into a large buffer.
    pub(super) fn read_large(&mut self, memory: Memory) -> Next {
        self.reading = Reading::Once(memory);
        Next::ReadLarge(memory)
    }

    /// A large buffer that is no longer of use.
    pub(super) fn unused(&mut self) -> Option<Memory> {
        self.large.take_if(|_| self.large_for == 0)
    }

    /// All memory, once no operation is left.
    pub(super) fn memory(&mut self) -> impl Iterator<Item = Memory> {
        let held = match self.reading {
            Reading::Once(memory) => Some(memory),
            Reading::Off | Reading::On | Reading::Stopping | Reading::Ended => None,
        };
        self.waiting.drain(..).map(|part| part.memory).chain(self.large.take()).chain(held)
    }
}

const _: () = assert!(LARGE_BYTES > PIECE_BYTES, "a read into a large buffer can show that it is of use");
