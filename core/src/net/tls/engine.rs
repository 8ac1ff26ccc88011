//! rustls' unbuffered connections, client or server, behind one face: bytes in and out, no IO.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, Error};

use super::super::{Buffer, Buffers};

/// What a record adds to its plaintext, at most: head, explicit nonce, content type, tag (TLS 1.2 and 1.3).
pub(super) const OVERHEAD: usize = 64;

/// One side of a connection.
pub(super) enum Engine {
    /// We were connected to.
    Server(UnbufferedServerConnection),
    /// We have connected.
    Client(UnbufferedClientConnection),
}

/// What the engine waits for once it has used all records that are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// More of the peer's handshake.
    Handshake,
    /// Nothing: application data may go both ways.
    Traffic,
    /// Nothing: the peer has said that it sends no more.
    Closed,
}

/// Where the engine puts what it makes. Both are buffers without memory until there is something.
pub(super) struct Outputs<'a> {
    /// What the peer has sent.
    pub(super) plain: &'a mut Buffer,
    /// Records to be sent before all others: handshake, tickets, alerts.
    pub(super) pending: &'a mut Buffer,
    /// The pool.
    pub(super) buffers: &'a std::rc::Rc<Buffers>,
}

/// What one call of rustls came to.
enum Step {
    Again,
    Over(Turn),
}

impl Engine {
    /// Uses all records of the input that are whole. What stays is the beginning of one, or the beginning of a
    /// handshake message whose rest is in records to come. After an error `pending` holds the alert.
    pub(super) fn turn(&mut self, input: &mut Buffer, out: &mut Outputs<'_>) -> Result<Turn, Error> {
        let mut closed = false;
        loop {
            let step = match self {
                Self::Server(connection) => {
                    let status = connection.process_tls_records(input.filled_mut());
                    step(status, out, &mut closed)
                }
                Self::Client(connection) => {
                    let status = connection.process_tls_records(input.filled_mut());
                    step(status, out, &mut closed)
                }
            };
            let (used, outcome) = step;
            input.consume(used);
            match outcome {
                Ok(Step::Again) => {}
                Ok(Step::Over(Turn::Traffic)) if closed => return Ok(Turn::Closed),
                Ok(Step::Over(turn)) => return Ok(turn),
                Err(error) => {
                    self.collect_alert(out);
                    return Err(error);
                }
            }
        }
    }

    /// Encrypts one record's worth of plaintext behind what `out` holds. `held` is the input that was not used up.
    pub(super) fn seal(&mut self, held: &mut Buffer, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(held, out, |traffic, space| traffic.encrypt(plain, space), plain.len() + OVERHEAD)
    }

    /// Says that nothing more is sent.
    pub(super) fn close_notify(&mut self, held: &mut Buffer, out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(held, out, |traffic, space| traffic.queue_close_notify(space), 2 * OVERHEAD)
    }

    /// What both sides know about the connection.
    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Server(connection) => connection,
            Self::Client(connection) => connection,
        }
    }

    fn write(
        &mut self,
        held: &mut Buffer,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&mut dyn Traffic, &mut [u8]) -> Result<usize, EncryptError>,
        space: usize,
    ) -> Result<(), Error> {
        loop {
            // The input that is held belongs to the call: rustls may know of a message that begins in it.
            let done = match self {
                Self::Server(connection) => {
                    write_step(connection.process_tls_records(held.filled_mut()), out, &mut write, space)
                }
                Self::Client(connection) => {
                    write_step(connection.process_tls_records(held.filled_mut()), out, &mut write, space)
                }
            }?;
            if done {
                return Ok(());
            }
        }
    }

    /// After an error nothing but the alert is left to be taken. rustls is asked for that only: what it would look for
    /// in the input may be gone.
    fn collect_alert(&mut self, out: &mut Outputs<'_>) {
        let mut closed = false;
        while self.state().wants_write() {
            let (_, outcome) = match self {
                Self::Server(connection) => step(connection.process_tls_records(&mut []), out, &mut closed),
                Self::Client(connection) => step(connection.process_tls_records(&mut []), out, &mut closed),
            };
            if !matches!(outcome, Ok(Step::Again)) {
                return;
            }
        }
    }
}

/// Hides which side's traffic it is.
trait Traffic {
    fn encrypt(&mut self, plain: &[u8], space: &mut [u8]) -> Result<usize, EncryptError>;
    fn queue_close_notify(&mut self, space: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<D> Traffic for WriteTraffic<'_, D> {
    fn encrypt(&mut self, plain: &[u8], space: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::encrypt(self, plain, space)
    }

    fn queue_close_notify(&mut self, space: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::queue_close_notify(self, space)
    }
}

/// Handles one status; how much input it has used.
fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    out: &mut Outputs<'_>,
    closed: &mut bool,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let outcome = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Err(error)) => break Err(error),
                Some(Ok(record)) => {
                    discard += record.discard;
                    append(out.plain, record.payload, out.buffers);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            if out.pending.room() == 0 {
                reserve(out.pending, Buffers::TINY, out.buffers);
            }
            encode(out.pending.append(), |space| data.encode(space)).map(|()| Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::PeerClosed) => {
            *closed = true;
            Ok(Step::Again)
        }
        Ok(ConnectionState::Closed) => Ok(Step::Over(Turn::Closed)),
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Over(Turn::Handshake)),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Over(Turn::Traffic)),
        // Early data is never offered.
        Ok(_) => Err(Error::General("a state that was not asked for".to_owned())),
    };
    (discard, outcome)
}

/// One status on the way to a write. Whether it has been written.
fn write_step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    out: &mut Vec<u8>,
    write: &mut impl FnMut(&mut dyn Traffic, &mut [u8]) -> Result<usize, EncryptError>,
    space: usize,
) -> Result<bool, Error> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is what cannot be here")]
    match status.state? {
        ConnectionState::EncodeTlsData(mut data) => {
            encode(out, |space| data.encode(space))?;
            Ok(false)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(false)
        }
        ConnectionState::PeerClosed => Ok(false),
        ConnectionState::WriteTraffic(mut traffic) => {
            let start = out.len();
            let mut space = space;
            loop {
                out.resize(start + space, 0);
                let result = write(&mut traffic, out.get_mut(start..).unwrap_or_default());
                out.truncate(start + *result.as_ref().unwrap_or(&0));
                match result {
                    Ok(_) => return Ok(true),
                    // A message about new keys goes in front.
                    Err(EncryptError::InsufficientSize(error)) if error.required_size > space => {
                        space = error.required_size;
                    }
                    Err(_) => return Err(Error::EncryptError),
                }
            }
        }
        // All input that is whole has been used, and the handshake is over.
        _ => Err(Error::HandshakeNotComplete),
    }
}

/// Appends what `write` makes, which says how much space it needs.
fn encode(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let start = out.len();
    let mut space = 0;
    loop {
        out.resize(start + space, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(error)) if error.required_size > space => {
                space = error.required_size;
            }
            Err(_) => {
                out.truncate(start);
                return Err(Error::EncryptError);
            }
        }
    }
}

/// Appends to a buffer that may have no memory yet.
fn append(to: &mut Buffer, bytes: &[u8], buffers: &std::rc::Rc<Buffers>) {
    if to.room() < bytes.len() {
        // Doubled, as a vector would.
        reserve(to, (to.len() + bytes.len()).max(2 * to.len()), buffers);
    }
    to.append().extend_from_slice(bytes);
}

/// Moves to a buffer of the pool of that size.
fn reserve(buffer: &mut Buffer, bytes: usize, buffers: &std::rc::Rc<Buffers>) {
    let mut larger = buffers.take(bytes.max(buffer.len()));
    larger.append().extend_from_slice(buffer.filled());
    *buffer = larger;
}
