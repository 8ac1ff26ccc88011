//! A tunnel: after a 101, bytes go both ways as they come, under back-pressure, until both sides have ended or
//! nothing moves for `tunnel_timeout`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::record::Record;
use crate::clock::Moment;
use crate::downstream::Connection;
use crate::net::{Buffer, Deadline, Hold, NetError, Reader, Writer};
use crate::shard::Count;
use crate::upstream::Checkout;
use crate::worker::Local;

/// Carries bytes until the end. Counts them in the record.
pub(super) async fn run(
    local: &Rc<Local>,
    connection: &mut Connection,
    up: Checkout,
    record: &mut Record,
    timeout: Duration,
) {
    let Checkout {
        reader: mut up_reader, writer: mut up_writer, input: from_up, deadline: up_deadline, ..
    } = up;
    let Connection { reader, writer, input, stay, .. } = connection;
    reader.set_hold(Hold::Buffer);
    let (bytes_in, bytes_out) = (Cell::new(0), Cell::new(0));
    let moved = Cell::new(local.now());
    let open = local.counts.hold(Count::TunnelsActive);
    let clock = Idle { local, moved: &moved, timeout };
    let upward = Way {
        reader,
        writer: &mut up_writer,
        deadline: &stay.entry.deadline,
        bytes: &bytes_in,
        idle: &clock,
    };
    let downward =
        Way { reader: &mut up_reader, writer, deadline: &up_deadline, bytes: &bytes_out, idle: &clock };
    let ended = both(upward.run(std::mem::take(input)), downward.run(from_up)).await;
    if let Err(NetError::TimedOut) = ended {
        record.reason = Some(if local.cut.get() { "drain.cut" } else { "tunnel.idle" });
    }
    drop(open);
    record.bytes_in += bytes_in.get();
    record.bytes_out += bytes_out.get();
}

/// When either way last moved.
struct Idle<'a> {
    local: &'a Local,
    moved: &'a Cell<Moment>,
    timeout: Duration,
}

impl Idle<'_> {
    fn until(&self) -> Moment {
        if self.local.cut.get() { Moment(0) } else { self.moved.get().after(self.timeout) }
    }
}

/// One way of a tunnel.
struct Way<'a> {
    reader: &'a mut Reader,
    writer: &'a mut Writer,
    deadline: &'a Deadline,
    bytes: &'a Cell<u64>,
    idle: &'a Idle<'a>,
}

impl Way<'_> {
    /// Carries until the sender ends, and passes the end on.
    async fn run(mut self, first: Buffer) -> Result<(), NetError> {
        let mut next = Some(first);
        while let Some(bytes) = next {
            if !bytes.is_empty() {
                self.bytes.set(self.bytes.get() + bytes.len() as u64);
                self.idle.moved.set(self.idle.local.now());
                self.deadline.set(self.idle.until());
                drop(self.writer.send(bytes, self.deadline).await?);
                self.idle.moved.set(self.idle.local.now());
            }
            next = self.receive().await?;
        }
        self.writer.settle(self.deadline).await?;
        self.writer.finish();
        Ok(())
    }

    /// Waits for bytes as long as the other way moves, or this one is within its time.
    async fn receive(&mut self) -> Result<Option<Buffer>, NetError> {
        loop {
            self.deadline.set(self.idle.until());
            match self.reader.recv(self.deadline).await {
                Err(NetError::TimedOut) if self.idle.until() > self.idle.local.now() => {}
                other => return other,
            }
        }
    }
}

/// Polls both ways until both have ended, or one has failed.
async fn both(
    a: impl Future<Output = Result<(), NetError>>,
    b: impl Future<Output = Result<(), NetError>>,
) -> Result<(), NetError> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    let (mut a_done, mut b_done) = (false, false);
    poll_fn(|cx| {
        if !a_done && let Poll::Ready(ended) = a.as_mut().poll(cx) {
            a_done = true;
            ended?;
        }
        if !b_done && let Poll::Ready(ended) = b.as_mut().poll(cx) {
            b_done = true;
            ended?;
        }
        if a_done && b_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
