//! Messages between threads: a crossbeam channel and a socket pair that wakes the receiver's ring. A sender never
//! waits.
//!
//! One byte is in the pair per time that the receiver went to sleep, however many messages are sent. The receiver
//! clears the flag before it looks at the channel for the last time, so that a message is either seen by that look
//! or followed by a byte.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use rustix::net::RecvFlags;

use super::socket::{Socket, Watch};

/// What wakes the receiver.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    stream: UnixStream,
}

/// The sending end: `Send + Clone`.
#[derive(Debug)]
pub struct MailboxSender<T> {
    // In this order: when the last bell is gone, and the receiver woken by its end, all channel ends are gone.
    channel: Sender<T>,
    bell: Arc<Bell>,
}

impl<T> Clone for MailboxSender<T> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> MailboxSender<T> {
    /// Sends, or gives the message back when the mailbox is full or gone.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.channel.try_send(message).map_err(crossbeam_channel::TrySendError::into_inner)?;
        if !self.bell.rung.swap(true, Ordering::SeqCst) {
            // A full pair is as good as a byte; a broken one has no receiver.
            let _ = (&self.bell.stream).write(&[1]);
        }
        Ok(())
    }
}

/// The receiving end; `Send`, and to stay on a thread once `recv` was called there.
#[derive(Debug)]
pub struct Mailbox<T> {
    channel: Receiver<T>,
    /// The sender's flag.
    bell: std::sync::Weak<Bell>,
    place: Place,
}

/// Where the receiving end of the pair is.
#[derive(Debug)]
enum Place {
    Travelling(OwnedFd),
    /// On a thread, under this key.
    Seated(u64),
    Lost,
}

/// A receiving end on this thread's driver.
struct Seat {
    socket: Socket,
    watch: Watch,
}

thread_local! {
    /// The seats of this thread, apart from their mailboxes so that those are `Send`.
    static SEATS: RefCell<HashMap<u64, Seat>> = RefCell::default();
}

static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

/// Gives up all seats of this thread, before its driver ends.
pub(super) fn forget_seats() {
    drop(SEATS.take());
}

impl<T> Mailbox<T> {
    /// The next message; `None` when all senders are gone. Must be called on a thread with a runtime, always the
    /// same. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            match self.channel.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            let key = self.seat().ok()?;
            self.hush(key);
            match self.channel.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            poll_fn(|cx| poll_bell(key, cx)).await.ok()?;
        }
    }

    /// A message that is already there.
    pub fn try_recv(&mut self) -> Option<T> {
        self.channel.try_recv().ok()
    }

    fn seat(&mut self) -> io::Result<u64> {
        match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Travelling(fd) => {
                let socket = Socket::new(fd)?;
                let watch = socket.watch();
                let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
                SEATS.with_borrow_mut(|seats| seats.insert(key, Seat { socket, watch }));
                self.place = Place::Seated(key);
                Ok(key)
            }
            Place::Seated(key) => {
                self.place = Place::Seated(key);
                Ok(key)
            }
            Place::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Takes the bytes away, then allows the next one.
    fn hush(&self, key: u64) {
        SEATS.with_borrow(|seats| {
            let Some(seat) = seats.get(&key) else { return };
            let mut bytes = [0_u8; 64];
            while rustix::net::recv(&seat.socket, &mut bytes, RecvFlags::DONTWAIT)
                .is_ok_and(|(_, received)| received == bytes.len())
            {}
        });
        if let Some(bell) = self.bell.upgrade() {
            bell.rung.store(false, Ordering::SeqCst);
        }
    }
}

fn poll_bell(key: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    SEATS.with_borrow_mut(|seats| match seats.get_mut(&key) {
        Some(seat) => seat.watch.poll(cx),
        // Another thread's.
        None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
    })
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        if let Place::Seated(key) = self.place {
            // On another thread, or after the thread's end, there is nothing to find.
            let seat = SEATS.try_with(|seats| seats.borrow_mut().remove(&key));
            drop(seat);
        }
    }
}

/// A mailbox that holds at most `capacity` messages.
pub fn mailbox<T>(capacity: usize) -> io::Result<(MailboxSender<T>, Mailbox<T>)> {
    let (sender, receiver) = crossbeam_channel::bounded(capacity);
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let bell = Arc::new(Bell { rung: AtomicBool::new(false), stream: near });
    let mailbox = Mailbox {
        channel: receiver,
        bell: Arc::downgrade(&bell),
        place: Place::Travelling(OwnedFd::from(far)),
    };
    Ok((MailboxSender { channel: sender, bell }, mailbox))
}
