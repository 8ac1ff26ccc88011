//! The duplex in memory that the library reads from and writes to.
//!
//! Both halves hold bytes that are on their way; the owner of the connection feeds one and takes the other. No waker
//! is kept: the owner polls again after it has done either.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The owner's end.
#[derive(Debug)]
pub(super) struct Duplex {
    pipes: Rc<RefCell<Pipes>>,
}

/// The library's end.
#[derive(Debug)]
pub(super) struct Wire {
    pipes: Rc<RefCell<Pipes>>,
}

#[derive(Debug)]
struct Pipes {
    /// What was fed. `read <= input.len()`.
    input: Vec<u8>,
    /// How much of it has been read.
    read: usize,
    /// Nothing will be fed any more.
    ended: bool,
    /// What was written and not taken.
    output: Vec<u8>,
    /// Where writing stops. What was begun below it is written whole.
    output_max: usize,
}

impl Duplex {
    /// Both ends. Writes wait while `output_max` bytes or more are waiting to be taken.
    pub(super) fn new(output_max: usize) -> (Self, Wire) {
        let pipes = Pipes { input: Vec::new(), read: 0, ended: false, output: Vec::new(), output_max };
        let pipes = Rc::new(RefCell::new(pipes));
        (Self { pipes: Rc::clone(&pipes) }, Wire { pipes })
    }

    pub(super) fn feed(&self, bytes: &[u8]) {
        let mut pipes = self.pipes.borrow_mut();
        if pipes.read == pipes.input.len() {
            pipes.input.clear();
            pipes.read = 0;
        } else if pipes.read > pipes.input.len() / 2 {
            let read = std::mem::take(&mut pipes.read);
            pipes.input.drain(..read);
        }
        pipes.input.extend_from_slice(bytes);
    }

    pub(super) fn end_of_input(&self) {
        self.pipes.borrow_mut().ended = true;
    }

    /// Bytes that were fed and not read.
    pub(super) fn unread(&self) -> usize {
        let pipes = self.pipes.borrow();
        pipes.input.len() - pipes.read
    }

    /// Bytes that were written and not taken.
    pub(super) fn output_len(&self) -> usize {
        self.pipes.borrow().output.len()
    }

    /// Whether writes wait.
    pub(super) fn is_full(&self) -> bool {
        self.pipes.borrow().is_full()
    }

    /// Moves what was written into `out`. Nothing is copied if `out` is empty: the two change places.
    pub(super) fn take_output(&self, out: &mut Vec<u8>) -> usize {
        let mut pipes = self.pipes.borrow_mut();
        let len = pipes.output.len();
        if out.is_empty() {
            std::mem::swap(out, &mut pipes.output);
        } else {
            out.append(&mut pipes.output);
        }
        len
    }

    /// Gives back memory that holds nothing.
    pub(super) fn shrink(&self) {
        let mut pipes = self.pipes.borrow_mut();
        if pipes.read == pipes.input.len() {
            pipes.read = 0;
            pipes.input = Vec::new();
        }
        if pipes.output.is_empty() {
            pipes.output = Vec::new();
        }
    }
}

impl Pipes {
    fn is_full(&self) -> bool {
        self.output.len() >= self.output_max
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipes = self.pipes.borrow_mut();
        let unread = pipes.input.get(pipes.read..).unwrap_or_default();
        if unread.is_empty() {
            return if pipes.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let taken = unread.get(..buf.remaining()).unwrap_or(unread);
        buf.put_slice(taken);
        let taken = taken.len();
        pipes.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipes = self.pipes.borrow_mut();
        if pipes.is_full() {
            return Poll::Pending;
        }
        let before = pipes.output.len();
        for slice in slices {
            pipes.output.extend_from_slice(slice);
        }
        Poll::Ready(Ok(pipes.output.len() - before))
    }

    // A payload is then copied once, to the output, and not into the library's buffer before.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn read(wire: &mut Wire, len: usize) -> Option<Vec<u8>> {
        let mut space = vec![0; len];
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(wire).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
            Poll::Ready(outcome) => outcome.is_ok().then(|| buf.filled().to_vec()),
            Poll::Pending => None,
        }
    }

    fn write(wire: &mut Wire, slices: &[&[u8]]) -> Option<usize> {
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        match Pin::new(wire).poll_write_vectored(&mut Context::from_waker(Waker::noop()), &slices) {
            Poll::Ready(outcome) => outcome.ok(),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_fed_is_read_in_order_and_then_the_end() {
        let (duplex, mut wire) = Duplex::new(10);
        assert_eq!(read(&mut wire, 4), None);
        let fed: Vec<u8> = (0..100).collect();
        let mut seen = Vec::new();
        for piece in fed.chunks(7) {
            duplex.feed(piece);
            seen.extend(read(&mut wire, 5).unwrap());
            duplex.shrink();
        }
        assert_eq!(duplex.unread(), fed.len() - seen.len());
        duplex.end_of_input();
        while duplex.unread() > 0 {
            seen.extend(read(&mut wire, 5).unwrap());
        }
        assert_eq!((seen, read(&mut wire, 5)), (fed, Some(Vec::new())));
    }

    #[test]
    fn writes_wait_at_the_limit_until_the_output_is_taken() {
        let (duplex, mut wire) = Duplex::new(10);
        assert_eq!(write(&mut wire, &[b"head", b"paylo"]), Some(9));
        assert_eq!((write(&mut wire, &[b"whole frame"]), duplex.is_full()), (Some(11), true));
        assert_eq!(write(&mut wire, &[b"x"]), None);
        let mut out = Vec::new();
        assert_eq!((duplex.take_output(&mut out), duplex.is_full()), (20, false));
        assert_eq!(write(&mut wire, &[b"x"]), Some(1));
        // What is not empty is added to.
        assert_eq!((duplex.take_output(&mut out), out), (1, b"headpaylowhole framex".to_vec()));
    }
}
