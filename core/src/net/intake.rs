//! What a socket's receiving side has with the driver: a watch for readability, a receive, or nothing.
//!
//! Each lives in a box that is made when it is first armed, and then armed in place. The box of the receives is the
//! larger one, and goes when a receive is given up: who rests has only that of the watch.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Buffer;
use super::socket::{Socket, Watch};

/// What is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Armed {
    #[default]
    Nothing,
    Watch,
    Receive,
}

/// How a receive ended.
type Received = (io::Result<usize>, Buffer);

/// The receiving side of one socket.
#[derive(Default)]
pub(super) struct Intake {
    watch: Option<Watch>,
    receive: Option<Pin<Box<dyn Slot>>>,
    /// Which of the two is armed; asked for at every poll, so it is kept beside the boxes.
    armed: Armed,
}

impl Intake {
    /// Whether nothing was armed yet (or nothing since a receive was given up).
    pub(super) fn is_unused(&self) -> bool {
        self.watch.is_none() && self.receive.is_none()
    }

    pub(super) fn armed(&self) -> Armed {
        self.armed
    }

    /// Lends the buffer to the kernel. Nothing else is armed.
    pub(super) fn arm_receive(&mut self, socket: &Socket, buffer: Buffer) {
        let slot = self.receive.get_or_insert_with(|| {
            let socket = socket.clone();
            Box::pin(Receives { make: move |buffer| socket.clone().receive(buffer), armed: None })
        });
        slot.as_mut().arm(buffer);
        self.armed = Armed::Receive;
    }

    /// Arms the watch if it is not armed, and takes note of who waits. Ready once per arming.
    pub(super) fn poll_watch(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.armed = Armed::Watch;
        let result = ready!(self.watch.get_or_insert_with(|| socket.watch()).poll(cx));
        self.armed = Armed::Nothing;
        Poll::Ready(result)
    }

    /// Takes note of who waits for the armed receive.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        let Some(slot) = &mut self.receive else { return Poll::Pending };
        let received = ready!(slot.as_mut().poll(cx));
        self.armed = Armed::Nothing;
        Poll::Ready(received)
    }

    /// Gives up the receive, if one is armed, and its memory.
    pub(super) fn drop_receive(&mut self) {
        self.receive = None;
        if self.armed == Armed::Receive {
            self.armed = Armed::Nothing;
        }
    }
}

trait Slot {
    fn arm(self: Pin<&mut Self>, buffer: Buffer);
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Received>;
}

pin_project! {
    struct Receives<M, F> {
        make: M,
        #[pin]
        armed: Option<F>,
    }
}

impl<M: FnMut(Buffer) -> F, F: Future<Output = Received>> Slot for Receives<M, F> {
    fn arm(self: Pin<&mut Self>, buffer: Buffer) {
        let mut slot = self.project();
        let receive = (slot.make)(buffer);
        slot.armed.set(Some(receive));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Received> {
        let mut slot = self.project();
        let Some(receive) = slot.armed.as_mut().as_pin_mut() else { return Poll::Pending };
        let result = ready!(receive.poll(cx));
        slot.armed.set(None);
        Poll::Ready(result)
    }
}
