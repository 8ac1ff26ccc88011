//! A connection of the load to a target, in clear or over TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::tls::{Client, Session};

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    tls: Option<Box<Session>>,
}

/// What came of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// Bytes, of which some or none were of a message.
    Something,
    Nothing,
    /// The other side has no more to say.
    End,
}

impl Line {
    /// A connection that does not wait. Its handshake has begun, if it has one.
    pub(crate) fn connect(address: SocketAddr, tls: Option<&Client>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        let tls = tls.map(|client| client.begin().map(Box::new)).transpose().map_err(io::Error::other)?;
        if tls.is_some() {
            // A handshake is several small writes.
            stream.set_nodelay(true)?;
        }
        let mut line = Self { stream, tls };
        line.send_rest()?;
        Ok(line)
    }

    /// The same, with reads that wait at most so long, and its handshake behind it.
    pub(crate) fn connect_waiting(
        address: SocketAddr,
        tls: Option<&Client>,
        limit: Duration,
    ) -> io::Result<Self> {
        let mut line = Self::connect(address, tls)?;
        line.stream.set_nonblocking(false)?;
        line.stream.set_read_timeout(Some(limit))?;
        let mut buffer = vec![0; 20_000];
        while !line.is_open() {
            let early = |_: &[u8]| Err("bytes before anything was asked".to_owned());
            match line.read(&mut buffer, early).map_err(io::Error::other)? {
                Got::Something => {}
                Got::Nothing => return Err(ErrorKind::TimedOut.into()),
                Got::End => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        line.send_rest()?;
        Ok(line)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.tls.is_none()
    }

    /// Whether messages can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_open())
    }

    /// The TLS session, if there is one.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.tls.as_deref()
    }

    /// Whether something that counts as written has not been sent.
    pub(crate) fn wants_room(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.output.is_empty())
    }

    /// Reads once, and gives what it carries to `take`, in one piece or several. `buffer` is the reader's for the time
    /// of the call; nothing stays in it.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<Got, String> {
        let kept = self.tls.as_mut().map_or(0, |tls| tls.restore(buffer));
        let free = buffer.get_mut(kept..).unwrap_or_default();
        let read = loop {
            match self.stream.read(free) {
                Ok(read) => break read,
                // A read with a time limit is not taken up again by the kernel.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Got::Nothing),
                Err(error) => return Err(error.kind().to_string()),
            }
        };
        if read == 0 {
            return Ok(Got::End);
        }
        let Some(tls) = &mut self.tls else {
            take(buffer.get(..read).unwrap_or_default())?;
            return Ok(Got::Something);
        };
        let input = buffer.get_mut(..kept + read).unwrap_or_default();
        let has_ended = tls.hear(input, &mut take)?;
        Ok(if has_ended { Got::End } else { Got::Something })
    }

    /// Sends what the socket takes of what could not be sent before.
    pub(crate) fn send_rest(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while !tls.output.is_empty() {
            match self.stream.write(&tls.output) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => drop(tls.output.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Before the handshake is over, and while something waits for room, nothing can be written.
impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.write(bytes) };
        if !tls.is_open() || tls.is_full() {
            self.send_rest()?;
            return Err(ErrorKind::WouldBlock.into());
        }
        let written = tls.seal(bytes).map_err(io::Error::other)?;
        self.send_rest()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_rest()
    }
}
