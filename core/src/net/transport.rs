//! A connected stream, and its split into a receiving and a sending half with owned buffers.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use socket2::SockRef;

use super::reader::Reader;
use super::socket::Socket;
use super::writer::Writer;
use super::{Buffers, Deadline};

/// Why a wait ended without bytes.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Socket(SocketAddr),
    /// A Unix socket's peer.
    Unix,
}

/// A connected TCP or Unix stream.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    peer: Peer,
}

impl Stream {
    /// Gives a descriptor (non-blocking exactly when the driver is epoll) to this thread's driver.
    pub(super) fn new(fd: OwnedFd, peer: Peer) -> io::Result<Self> {
        Ok(Self { socket: Socket::new(fd)?, peer })
    }

    /// Waits until a connect has come to its end.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// The error that the socket holds, which is taken away.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(&self.socket).take_error()
    }

    /// Makes the descriptor fit for the ring.
    pub(super) fn make_blocking(&self) -> io::Result<()> {
        SockRef::from(&self.socket).set_nonblocking(false)
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// This end, for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        SockRef::from(&self.socket).local_addr().ok()?.as_socket()
    }

    /// The two halves. Both gone: the socket is closed, after what is in flight.
    pub fn split(self, buffers: &Rc<Buffers>) -> (Reader, Writer) {
        (Reader::new(self.socket.clone(), buffers), Writer::new(self.socket))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Closes a connection at once where nothing is or was with the driver; otherwise after what is in flight.
pub fn close(reader: Reader, writer: Writer) {
    let at_rest = !writer.is_in_flight();
    drop(writer);
    if let Some(socket) = reader.into_unwatched()
        && at_rest
    {
        socket.close_now();
    }
}

/// Polls the IO first, then the deadline. On expiry the future is dropped.
pub(super) async fn until<F: Future>(io: F, deadline: &Deadline) -> Result<F::Output, NetError> {
    let mut io = pin!(io);
    poll_fn(|cx| {
        if let Poll::Ready(output) = io.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        deadline.poll_expired(cx).map(|()| Err(NetError::TimedOut))
    })
    .await
}
