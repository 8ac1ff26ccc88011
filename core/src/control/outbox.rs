//! Commands on their way to one worker. Control never waits for a worker: what finds the inbox full is kept
//! here and sent later.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::net::{self, MailboxSender};
use crate::worker::inbox::Command;

/// How soon a full inbox is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// The way to one worker.
#[derive(Debug)]
pub(super) struct Outbox {
    sender: MailboxSender<Command>,
    waiting: RefCell<VecDeque<Command>>,
    /// The worker has ended: nothing is sent any more.
    closed: Cell<bool>,
    /// A task is trying again.
    trying: Cell<bool>,
}

impl Outbox {
    /// An outbox with nothing in it.
    pub(super) fn new(sender: MailboxSender<Command>) -> Rc<Self> {
        let waiting = RefCell::default();
        Rc::new(Self { sender, waiting, closed: Cell::new(false), trying: Cell::new(false) })
    }

    /// Sends a command after all earlier ones. Of member lists that wait, only the last is kept.
    pub(super) fn push(self: &Rc<Self>, command: Command) {
        if self.closed.get() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if matches!((waiting.back(), &command), (Some(Command::Directory { .. }), Command::Directory { .. }))
        {
            waiting.pop_back();
        }
        waiting.push_back(command);
        drop(waiting);
        if !self.flush() && !self.trying.replace(true) {
            let outbox = Rc::clone(self);
            net::spawn(async move {
                while !outbox.flush() {
                    net::sleep(AGAIN).await;
                }
                outbox.trying.set(false);
            });
        }
    }

    /// Forgets what waits, and all that is to come.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.waiting.borrow_mut().clear();
    }

    /// Sends what can be sent; whether nothing is left.
    fn flush(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(command) = waiting.pop_front() {
            if let Err(back) = self.sender.send(command) {
                waiting.push_front(back);
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use ringway_config::snapshot::{Driver, Epoch};

    use super::*;

    #[test]
    fn what_finds_the_inbox_full_comes_later_and_in_order() {
        let seen = net::run(Driver::Auto, |_driver| async {
            let (sender, mut inbox) = net::mailbox(1).unwrap();
            let outbox = Outbox::new(sender);
            let members = |epoch| Command::Directory { epoch: Epoch(epoch), directory: [].into() };
            outbox.push(Command::Unready);
            for epoch in 1..=3 {
                outbox.push(members(epoch));
            }
            outbox.push(Command::Drain { timeout: Duration::ZERO });
            let mut seen = Vec::new();
            loop {
                match inbox.recv().await.unwrap() {
                    Command::Unready => seen.push(0),
                    Command::Directory { epoch, .. } => seen.push(epoch.0),
                    Command::Drain { .. } => return seen,
                    Command::Seat { .. } => unreachable!(),
                }
            }
        });
        // Of the member lists that waited, the last one.
        assert_eq!(seen.unwrap(), [0, 3]);
    }
}
