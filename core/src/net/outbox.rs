//! Sends that nobody waits for.
//!
//! A task that waits for its send is woken by the completion, only to go on and wait for something else. So a send
//! can be *posted*: it is with the ring from then on, its connection goes on at once, and one task per thread looks
//! after all posted sends whose completions the driver has seen: it frees what was sent whole, sends the rest of what
//! was not, and keeps an error until the connection asks. What is posted behind a send that is under way is gathered,
//! and follows in one.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;
use slab::Slab;

use super::Buffer;
use super::socket::Socket;
use super::writer::progress;

/// Behind a send that is under way so much is taken.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// What is known of a posted send.
#[derive(Debug)]
pub(super) enum Status {
    /// All of it has been taken by the kernel.
    Done,
    /// It is under way.
    Sending(Moved),
    /// It failed; said once.
    Failed(io::Error),
}

/// Whether the kernel has taken a part of a send since that was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Yes,
    No,
}

/// Names one posted send, by its place and, above that, a number that no other has: 42 bits of it last for a year and a
/// half of a hundred thousand sends a second, longer than a ticket is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(NonZeroU64);

/// Four million sends under way at a time, more than a process can have descriptors for in practice.
const PLACE_BITS: u32 = 22;
const PLACES: u64 = 1 << PLACE_BITS;

impl Ticket {
    fn new(place: usize, number: u64) -> Self {
        let place = place as u64 % PLACES;
        Self(NonZeroU64::new((number << PLACE_BITS) | place).unwrap_or(NonZeroU64::MIN))
    }

    fn at(self) -> usize {
        usize::try_from(self.0.get() % PLACES).unwrap_or(usize::MAX)
    }
}

thread_local! {
    static OUTBOX: RefCell<Outbox> = const { RefCell::new(Outbox::new()) };
    /// The places whose sends have been woken; not in the outbox, since wakers run where it may be borrowed.
    static WOKEN: Woken = const { Woken::new() };
}

struct Woken {
    places: RefCell<Vec<usize>>,
    /// The task that looks after them, while it waits.
    task: RefCell<Option<Waker>>,
    stopping: Cell<bool>,
}

impl Woken {
    const fn new() -> Self {
        Self { places: RefCell::new(Vec::new()), task: RefCell::new(None), stopping: Cell::new(false) }
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

/// Wakes one place.
struct PlaceWaker(usize);

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        WOKEN.with(|woken| {
            woken.places.borrow_mut().push(self.0);
            woken.wake();
        });
    }
}

/// This thread's posted sends.
struct Outbox {
    places: Slab<Place>,
    /// Places that are free: the last used is the next.
    free: Vec<usize>,
    number: u64,
    has_task: bool,
}

/// A place for one posted send, used again and again.
struct Place {
    /// That of the send under way.
    ticket: Option<Ticket>,
    send: Pin<Box<dyn Sending>>,
    waker: Waker,
    /// Posted behind it.
    gathered: Option<Buffer>,
    /// The connection, for what is to follow.
    socket: Option<Socket>,
    failed: Option<io::Error>,
    /// Whether a part was taken since somebody asked.
    moved: Moved,
    /// Who waits for its end.
    waiter: Option<Waker>,
}

/// Posts a buffer. Nothing must have been posted for this socket that is still under way.
pub(super) fn post(socket: &Socket, buffer: Buffer) -> Ticket {
    OUTBOX.with_borrow_mut(|outbox| outbox.post(socket, buffer))
}

/// Puts a buffer behind a send that is under way; gives it back when that is over, or too much is behind it already.
pub(super) fn append(ticket: Ticket, buffer: Buffer) -> Result<(), Buffer> {
    OUTBOX.with_borrow_mut(|outbox| match outbox.find(ticket) {
        Some(place) if place.failed.is_none() => place.append(buffer),
        _ => Err(buffer),
    })
}

/// Whether so many bytes can be posted behind a send, or anew if it is over.
pub(super) fn takes(ticket: Ticket, bytes: usize) -> bool {
    OUTBOX.with_borrow_mut(|outbox| outbox.find(ticket).is_none_or(|place| place.takes(bytes)))
}

/// Looks how a posted send is doing, and has `waker` woken when it has moved on, and at its end.
pub(super) fn status(ticket: Ticket, waker: Option<&Waker>) -> Status {
    OUTBOX.with_borrow_mut(|outbox| {
        let Some(place) = outbox.find(ticket) else { return Status::Done };
        if let Some(error) = place.failed.take() {
            outbox.free(ticket.at());
            return Status::Failed(error);
        }
        place.waiter = waker.cloned();
        Status::Sending(std::mem::replace(&mut place.moved, Moved::No))
    })
}

/// Gives up what has not been sent yet.
pub(super) fn cancel(ticket: Ticket) {
    OUTBOX.with_borrow_mut(|outbox| {
        if outbox.find(ticket).is_some() {
            outbox.free(ticket.at());
        }
    });
}

/// Looks after all posted sends that were woken, without waiting for the task's turn.
pub(super) fn look() {
    let mut places = WOKEN.with(|woken| woken.places.take());
    for place in places.drain(..) {
        OUTBOX.with_borrow_mut(|outbox| outbox.advance(place));
    }
    // The vector goes back for its memory, unless something was woken meanwhile.
    WOKEN.with(|woken| {
        let mut now = woken.places.borrow_mut();
        if now.is_empty() {
            *now = places;
        }
    });
}

/// Ends this thread's task. What was posted is given up.
pub(super) fn stop() {
    // Dropped outside of the borrow: what goes with it may have posted, too.
    drop(OUTBOX.with_borrow_mut(|outbox| std::mem::replace(outbox, Outbox::new())));
    WOKEN.with(|woken| {
        woken.stopping.set(true);
        woken.wake();
    });
}

async fn look_after_all() {
    poll_fn(|cx| {
        let stopping = WOKEN.with(|woken| {
            *woken.task.borrow_mut() = Some(cx.waker().clone());
            woken.stopping.get()
        });
        if stopping {
            return Poll::Ready(());
        }
        look();
        Poll::Pending
    })
    .await;
}

impl Outbox {
    const fn new() -> Self {
        Self { places: Slab::new(), free: Vec::new(), number: 0, has_task: false }
    }

    fn post(&mut self, socket: &Socket, buffer: Buffer) -> Ticket {
        if !self.has_task {
            self.has_task = true;
            WOKEN.with(|woken| woken.stopping.set(false));
            super::spawn(look_after_all());
        }
        self.number = self.number.wrapping_add(1);
        let at = self.free.pop().unwrap_or_else(|| {
            let entry = self.places.vacant_entry();
            let at = entry.key();
            entry.insert(Place::new(at));
            at
        });
        let ticket = Ticket::new(at, self.number);
        if let Some(place) = self.places.get_mut(at) {
            place.ticket = Some(ticket);
            place.socket = Some(socket.clone());
            place.moved = Moved::No;
            place.send.as_mut().arm(socket.clone(), buffer);
        }
        self.advance(at);
        ticket
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut Place> {
        self.places.get_mut(ticket.at()).filter(|place| place.ticket == Some(ticket))
    }

    fn advance(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else { return };
        if place.ticket.is_some() && place.advance() == Progress::Over {
            self.free(at);
        }
    }

    fn free(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else { return };
        place.ticket = None;
        place.send.as_mut().disarm();
        (place.gathered, place.socket, place.failed) = (None, None, None);
        if let Some(waiter) = place.waiter.take() {
            waiter.wake();
        }
        self.free.push(at);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waits,
    Over,
}

impl Place {
    fn new(at: usize) -> Self {
        Self {
            ticket: None,
            send: Box::pin(Slot { make: Socket::send, armed: None }),
            waker: Waker::from(Arc::new(PlaceWaker(at))),
            gathered: None,
            socket: None,
            failed: None,
            moved: Moved::No,
            waiter: None,
        }
    }

    fn takes(&self, bytes: usize) -> bool {
        let room = self.gathered.as_ref().is_none_or(|gathered| gathered.len() + bytes <= GATHERED_BYTES_MAX);
        self.failed.is_none() && room
    }

    fn append(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        match &mut self.gathered {
            None => self.gathered = Some(buffer),
            Some(gathered) if gathered.len() + buffer.len() <= GATHERED_BYTES_MAX => {
                gathered.append().extend_from_slice(buffer.filled());
            }
            Some(_) => return Err(buffer),
        }
        Ok(())
    }

    /// Goes as far as it goes.
    fn advance(&mut self) -> Progress {
        loop {
            let mut cx = Context::from_waker(&self.waker);
            let Poll::Ready((result, mut buffer)) = self.send.as_mut().poll(&mut cx) else {
                return Progress::Waits;
            };
            match progress(result) {
                Ok(sent) => buffer.consume(sent),
                Err(error) => {
                    self.failed = Some(error);
                    if let Some(waiter) = self.waiter.take() {
                        waiter.wake();
                    }
                    return Progress::Waits;
                }
            }
            let next = if buffer.is_empty() { self.gathered.take() } else { Some(buffer) };
            let (Some(next), Some(socket)) = (next, &self.socket) else { return Progress::Over };
            self.send.as_mut().arm(socket.clone(), next);
            // Who waits gives a slow client time for as long as it takes something.
            self.moved = Moved::Yes;
            if let Some(waiter) = self.waiter.take() {
                waiter.wake();
            }
        }
    }
}

/// How one send ended.
type Sent = (io::Result<usize>, Buffer);

pin_project! {
    struct Slot<M, F> {
        make: M,
        #[pin]
        armed: Option<F>,
    }
}

/// A send that is armed again in place.
trait Sending {
    fn arm(self: Pin<&mut Self>, socket: Socket, buffer: Buffer);
    /// Pending when nothing is armed.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent>;
    fn disarm(self: Pin<&mut Self>);
}

impl<M: FnMut(Socket, Buffer) -> F, F: Future<Output = Sent>> Sending for Slot<M, F> {
    fn arm(self: Pin<&mut Self>, socket: Socket, buffer: Buffer) {
        let mut slot = self.project();
        let send = (slot.make)(socket, buffer);
        slot.armed.set(Some(send));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent> {
        let mut slot = self.project();
        let Some(armed) = slot.armed.as_mut().as_pin_mut() else { return Poll::Pending };
        let sent = std::task::ready!(armed.poll(cx));
        slot.armed.set(None);
        Poll::Ready(sent)
    }

    fn disarm(self: Pin<&mut Self>) {
        self.project().armed.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_names_its_place_and_no_other_send() {
        let last = usize::try_from(PLACES - 1).unwrap();
        for place in [0, 1, last] {
            for number in [1, 2, 1 << 33, (1 << 42) - 1] {
                let ticket = Ticket::new(place, number);
                assert_eq!(ticket.at(), place);
                assert_ne!(ticket, Ticket::new(place, number + 1));
                assert_ne!(ticket, Ticket::new(place ^ 1, number));
            }
        }
    }
}
