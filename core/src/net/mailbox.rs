//! Messages between threads: a crossbeam channel and a socket pair that wakes the receiver's ring. A sender never waits.

/// The sending end: `Send + Clone`.
#[derive(Debug)]
pub struct MailboxSender<T> {
    _private: std::marker::PhantomData<T>,
}

impl<T> Clone for MailboxSender<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<T> MailboxSender<T> {
    /// Sends, or gives the message back when the mailbox is full or gone.
    pub fn send(&self, _message: T) -> Result<(), T> {
        todo!()
    }
}

/// The receiving end, before it is seated on its thread: `Send`.
#[derive(Debug)]
pub struct Mailbox<T> {
    _private: std::marker::PhantomData<T>,
}

impl<T> Mailbox<T> {
    /// The next message; `None` when all senders are gone. Must be called on a thread with a runtime. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<T> {
        todo!()
    }
    /// A message that is already there.
    pub fn try_recv(&mut self) -> Option<T> {
        todo!()
    }
}

/// A mailbox that holds at most `capacity` messages.
pub fn mailbox<T>(_capacity: usize) -> std::io::Result<(MailboxSender<T>, Mailbox<T>)> {
    todo!()
}
