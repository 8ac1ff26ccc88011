//! A descriptor on this thread's driver, and the watch for its readability.
//!
//! monoio's `UnixStream` is its thinnest type over a descriptor (one reference, no cached addresses), and its
//! operations (poll, send, writev, close) are the same for every kind of socket, so all sockets here are held in
//! one.
//!
//! A *watch* is one `PollAdd` that may stay armed for as long as its owner likes: it holds no buffer, so that
//! dropping it, or the future that waits on it, loses nothing. It lives in a box that is made once per connection
//! and re-armed in place.

#![expect(
    unsafe_code,
    reason = "the shared cell of the runtime's split halves, and borrowing their descriptor"
)]

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf, OwnedWriteHalf};
use monoio::net::UnixStream;
use pin_project_lite::pin_project;

use super::Buffer;

/// Sets `TCP_NOTSENT_LOWAT`.
pub(super) fn set_unsent_max(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let size = libc::socklen_t::try_from(size_of::<u32>()).unwrap_or_default();
    // SAFETY: the descriptor is borrowed for the call, and the kernel reads `size` bytes of a live u32.
    let result = unsafe {
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, (&raw const bytes).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

thread_local! {
    /// Whether this thread's driver is epoll; set by the runtime before anything runs.
    static EPOLL: Cell<bool> = const { Cell::new(false) };
    /// Up to so many readers, receives may be armed; none where one cannot be given up without loss.
    static READERS_MAX: Cell<u32> = const { Cell::new(0) };
    /// Readers on this thread.
    static READERS: Cell<u32> = const { Cell::new(0) };
}

/// Says that this thread's driver is epoll.
pub(super) fn set_epoll() {
    EPOLL.set(true);
    READERS_MAX.set(0);
}

/// Says that this thread's driver is a ring, and with how many readers its completions cannot overflow.
pub(super) fn set_ring(readers_max: u32) {
    EPOLL.set(false);
    READERS_MAX.set(readers_max);
}

/// A reader's part in the count that decides whether receives may be armed.
pub(super) struct Receives(());

impl Receives {
    pub(super) fn new() -> Self {
        READERS.set(READERS.get() + 1);
        Self(())
    }

    /// Whether a receive may be armed.
    pub(super) fn may_arm() -> bool {
        READERS.get() <= READERS_MAX.get()
    }
}

impl Drop for Receives {
    fn drop(&mut self) {
        READERS.set(READERS.get().saturating_sub(1));
    }
}

/// Whether this thread's driver is epoll. Its descriptors must be non-blocking; those of the ring must not be,
/// because the ring answers EAGAIN on them where it should wait.
pub(super) fn is_epoll() -> bool {
    EPOLL.get()
}

/// A descriptor that belongs to this thread's driver. Closed once the last clone, the last watch and what is in
/// flight are gone.
#[derive(Clone)]
pub(super) struct Socket(Rc<UnsafeCell<UnixStream>>);

impl Socket {
    /// Gives a descriptor (non-blocking exactly when [`is_epoll`]) to this thread's driver.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let stream = UnixStream::from_std(std::os::unix::net::UnixStream::from(fd))?;
        Ok(Self(Rc::new(UnsafeCell::new(stream))))
    }

    /// A half for the runtime's write operations.
    pub(super) fn write_half(&self) -> OwnedWriteHalf<UnixStream> {
        OwnedWriteHalf(Rc::clone(&self.0))
    }

    /// Closes the descriptor with a call of its own; nothing may be in flight. On the ring a close is an operation, and
    /// the runtime sends a cancellation after it. A holder that is left closes it at its own end.
    pub(super) fn close_now(self) {
        if let Some(stream) = Rc::into_inner(self.0) {
            let fd = stream.into_inner().into_raw_fd();
            // SAFETY: the descriptor was given up by its only owner, and is open.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }

    fn stream(&self) -> &UnixStream {
        // SAFETY: the cell never leaves this thread, and the only `&mut` made from it are those of
        // `OwnedWriteHalf`, which touch the shared descriptor only through `&self` methods while they build an
        // operation; no reference is used across such a call.
        unsafe { &*self.0.get() }
    }

    /// Receives once, into the buffer's free part. Never dropped while it is pending, but as [`Reader::let_go`] says.
    ///
    /// [`Reader::let_go`]: super::Reader::let_go
    pub(super) async fn receive(self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        OwnedReadHalf(self.0).read(buffer).await
    }

    /// Sends once.
    pub(super) async fn send(self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        OwnedWriteHalf(self.0).write(buffer).await
    }

    /// Waits for readability, once.
    pub(super) async fn readable(self) -> io::Result<()> {
        self.stream().readable(false).await
    }

    /// Waits for room to send, once.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream().writable(false).await
    }

    /// A watch for readability, not armed yet.
    pub(super) fn watch(&self) -> Watch {
        let socket = self.clone();
        Watch(Box::pin(Slot { make: move || socket.clone().readable(), armed: None }))
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.stream().as_raw_fd())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let fd = self.stream().as_raw_fd();
        // SAFETY: the stream owns the descriptor, is never taken out of the cell, and outlives the borrow of
        // `self`.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }
}

pin_project! {
    struct Slot<M, F> {
        make: M,
        #[pin]
        armed: Option<F>,
    }
}

trait Arm {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<M: FnMut() -> F, F: Future<Output = io::Result<()>>> Arm for Slot<M, F> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slot = self.project();
        if slot.armed.is_none() {
            let future = (slot.make)();
            slot.armed.set(Some(future));
        }
        let Some(future) = slot.armed.as_mut().as_pin_mut() else { return Poll::Pending };
        let result = ready!(future.poll(cx));
        slot.armed.set(None);
        Poll::Ready(result)
    }
}

/// A re-armable wait for readability.
pub(super) struct Watch(Pin<Box<dyn Arm>>);

impl Watch {
    /// Arms the watch if it is not armed, and takes note of who waits. Ready once per arming.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll(cx)
    }
}
