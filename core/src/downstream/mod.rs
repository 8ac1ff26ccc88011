//! Client connections: from the accept to the close.

pub(crate) mod forwarded;
mod h1;
mod linger;
pub mod proxy_protocol;

use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;

use crate::clock::Moment;
use crate::net::{self, Buffer, Hold, Reader, Stream, Writer};
use crate::shard::Count;
use crate::worker::cap::Permit;
use crate::worker::{Entry, ListenerSeat, Local, Registry, Stay};

/// One client connection.
pub(crate) struct Connection {
    /// Receives requests.
    pub(crate) reader: Reader,
    /// Sends responses.
    pub(crate) writer: Writer,
    /// Received and not yet used.
    pub(crate) input: Buffer,
    /// Its entry in the registry: the deadline of its reads, and whether it is between requests.
    pub(crate) stay: Stay,
    /// The address that connected, or that a PROXY header named.
    pub(crate) peer_ip: IpAddr,
    /// Whether that address is a trusted proxy's.
    pub(crate) trusted: bool,
    /// Requests begun.
    pub(crate) served: u64,
    /// When it was accepted.
    pub(crate) accepted: Moment,
    _permit: Permit,
}

impl Connection {
    /// Moves the deadline of waits on the client. A cut connection's stays in the past.
    pub(crate) fn set_deadline(&self, local: &Local, at: Moment) {
        self.stay.entry.deadline.set(if local.cut.get() { Moment(0) } else { at });
    }
}

/// What becomes of a connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    KeepAlive,
    /// Close: the client has said that this request was its last, and it was read whole.
    Finish,
    /// Close once the client has had the chance to read what was sent.
    Linger,
    /// Close now.
    Close,
    /// Close such that the client sees an error.
    Reset,
}

/// Spawns the task of an accepted connection.
pub(crate) fn spawn(
    local: &Rc<Local>,
    listener: &Rc<ListenerSeat>,
    stream: Stream,
    ip: IpAddr,
    permit: Permit,
) {
    let local = Rc::clone(local);
    let entry = Entry {
        deadline: local.timers.deadline(),
        idle: std::cell::Cell::new(true),
        fresh: std::cell::Cell::new(true),
        rested: std::cell::Cell::default(),
        listener: Rc::clone(listener),
    };
    let (reader, writer) = stream.split(&local.buffers);
    // A peer on a Unix socket is trusted when `unix` is listed.
    let trusted = local.plan().snapshot.server.trusts(ip);
    let connection = Connection {
        reader,
        writer,
        input: Buffer::empty(),
        stay: Registry::enter(&local, entry),
        peer_ip: ip,
        trusted,
        served: 0,
        accepted: local.now(),
        _permit: permit,
    };
    net::spawn(async move {
        let _open = local.counts.hold(Count::ConnectionsActive);
        serve(&local, connection).await;
    });
}

/// How a wait for the next request ended.
enum Idle {
    /// Bytes can be read.
    Readable,
    /// The client is gone, the time is over, or the gateway wants the connection closed.
    Over,
}

async fn serve(local: &Rc<Local>, mut connection: Connection) {
    let Some(limits) = connection.stay.entry.listener.with_spec(|spec| spec.limits) else { return };
    if connection.stay.entry.listener.with_spec(|spec| spec.proxy_protocol).unwrap_or_default() {
        let header = Box::pin(h1::proxy_header(local, &mut connection, &limits));
        if header.await.is_none() {
            local.counts.add(Count::ProxyHeaderRefused, 1);
            return;
        }
    }
    // A connection that never sends a byte is held to the header timeout, later waits to the idle timeout.
    let mut wait_until = connection.accepted.after(limits.header_timeout);
    // The first request is often there as soon as the connection is.
    if connection.input.is_empty()
        && let Some(first) = connection.reader.recv_now()
    {
        connection.input = first;
    }
    loop {
        if connection.input.is_empty()
            && let Idle::Over = idle(local, &mut connection, wait_until, Hold::Nothing).await
        {
            return;
        }
        // The large future lives only while there is something to do; see `h1::busy`.
        let (after, since) = Box::pin(h1::busy(local, &mut connection)).await;
        match after {
            After::KeepAlive => {
                // Asked for each time: a reload may have changed it.
                let idle = connection.stay.entry.listener.with_spec(|spec| spec.limits.idle_timeout);
                wait_until = since.after(idle.unwrap_or_default());
            }
            After::Finish if connection.input.is_empty() && connection.reader.has_read_all() => {
                return net::close(connection.reader, connection.writer);
            }
            After::Finish | After::Linger => return Box::pin(linger::linger(local, connection)).await,
            After::Close => return,
            After::Reset => return connection.writer.reset_on_close(),
        }
    }
}

/// Waits for a byte; holds at most what `hold` says.
async fn idle(local: &Local, connection: &mut Connection, until: Moment, hold: Hold) -> Idle {
    // What is used up goes back to the pool: a wait holds no buffer.
    drop(std::mem::take(&mut connection.input));
    let entry = Rc::clone(&connection.stay.entry);
    entry.idle.set(true);
    entry.fresh.set(connection.served == 0);
    let closing = connection.served > 0 && (!local.ready.get() || entry.listener.is_closing());
    connection.set_deadline(local, if closing { until.min(entry.grace_until()) } else { until });
    let outcome = poll_fn(|cx| {
        if connection.reader.poll_readable(hold, cx).is_ready() {
            return Poll::Ready(Idle::Readable);
        }
        entry.deadline.poll_expired(cx).map(|()| Idle::Over)
    })
    .await;
    entry.idle.set(false);
    outcome
}
