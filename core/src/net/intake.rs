//! What a socket's receiving side has with the driver: a watch for readability, a receive, or nothing. It lives in a
//! box that is made once per connection and armed in place.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Buffer;
use super::socket::Socket;

/// What is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Armed {
    Nothing,
    Watch,
    Receive,
}

/// How a receive ended.
type Received = (io::Result<usize>, Buffer);

/// The receiving side of one socket.
pub(super) struct Intake(Pin<Box<dyn Slots>>);

impl Intake {
    /// Nothing armed.
    pub(super) fn new(socket: &Socket) -> Self {
        let (for_watch, for_receive) = (socket.clone(), socket.clone());
        Self(Box::pin(Slot {
            watch: move || for_watch.clone().readable(),
            receive: move |buffer| for_receive.clone().receive(buffer),
            state: State::Nothing,
        }))
    }

    pub(super) fn armed(&self) -> Armed {
        self.0.armed()
    }

    /// Lends the buffer to the kernel. What was armed before is given up.
    pub(super) fn arm_receive(&mut self, buffer: Buffer) {
        self.0.as_mut().arm_receive(buffer);
    }

    /// Arms the watch if nothing is armed, and takes note of who waits. Ready once per arming.
    pub(super) fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_watch(cx)
    }

    /// Takes note of who waits for the armed receive.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        self.0.as_mut().poll_receive(cx)
    }

    /// Gives up what is armed.
    pub(super) fn disarm(&mut self) {
        self.0.as_mut().disarm();
    }
}

trait Slots {
    fn armed(&self) -> Armed;
    fn arm_receive(self: Pin<&mut Self>, buffer: Buffer);
    fn poll_watch(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_receive(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Received>;
    fn disarm(self: Pin<&mut Self>);
}

pin_project! {
    #[project = StateProjection]
    enum State<W, R> {
        Nothing,
        Watch { #[pin] watch: W },
        Receive { #[pin] receive: R },
    }
}

pin_project! {
    struct Slot<MakeWatch, MakeReceive, W, R> {
        watch: MakeWatch,
        receive: MakeReceive,
        #[pin]
        state: State<W, R>,
    }
}

impl<MakeWatch, MakeReceive, W, R> Slots for Slot<MakeWatch, MakeReceive, W, R>
where
    MakeWatch: FnMut() -> W,
    MakeReceive: FnMut(Buffer) -> R,
    W: Future<Output = io::Result<()>>,
    R: Future<Output = Received>,
{
    fn armed(&self) -> Armed {
        match self.state {
            State::Nothing => Armed::Nothing,
            State::Watch { .. } => Armed::Watch,
            State::Receive { .. } => Armed::Receive,
        }
    }

    fn arm_receive(self: Pin<&mut Self>, buffer: Buffer) {
        let mut slot = self.project();
        let receive = (slot.receive)(buffer);
        slot.state.set(State::Receive { receive });
    }

    fn poll_watch(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slot = self.project();
        if let State::Nothing = *slot.state {
            let watch = (slot.watch)();
            slot.state.set(State::Watch { watch });
        }
        let StateProjection::Watch { watch } = slot.state.as_mut().project() else { return Poll::Pending };
        let result = ready!(watch.poll(cx));
        slot.state.set(State::Nothing);
        Poll::Ready(result)
    }

    fn poll_receive(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Received> {
        let mut slot = self.project();
        let StateProjection::Receive { receive } = slot.state.as_mut().project() else {
            return Poll::Pending;
        };
        let result = ready!(receive.poll(cx));
        slot.state.set(State::Nothing);
        Poll::Ready(result)
    }

    fn disarm(self: Pin<&mut Self>) {
        self.project().state.set(State::Nothing);
    }
}
