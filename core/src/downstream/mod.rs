//! Client connections: from the accept to the close.

pub(crate) mod forwarded;
mod h1;
mod h2;
mod linger;
pub mod proxy_protocol;
mod runner;
mod secure;

use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Moment;
use crate::net::tls::Alpn;
use crate::net::{self, Buffer, Hold, Reader, Stream, Writer};
use crate::shard::{Count, Held};
use crate::wire::{self, Inlet, Outlet};
use crate::worker::cap::Permit;
use crate::worker::{Entry, ListenerSeat, Local, Registry, Stay};
use runner::Job;
pub(crate) use runner::Runners;
pub(crate) use secure::Secured;

/// A client whose next request comes within this time of its last answer is expected to do so again, and is waited for
/// with a buffer.
const REST: Duration = Duration::from_millis(100);

/// One client connection.
pub(crate) struct Connection {
    /// Receives requests.
    pub(crate) reader: Inlet,
    /// Sends responses.
    pub(crate) writer: Outlet,
    /// Received and not yet used.
    pub(crate) input: Buffer,
    /// Its entry in the registry: the deadline of its reads, and whether it is between requests.
    pub(crate) stay: Stay,
    /// The address that connected, or that a PROXY header named.
    pub(crate) peer_ip: IpAddr,
    /// Whether that address is a trusted proxy's.
    pub(crate) trusted: bool,
    /// What is known of its TLS; none: it is in clear.
    pub(crate) secured: Option<Rc<Secured>>,
    /// Requests begun.
    pub(crate) served: u64,
    /// When it was accepted, or its handshake was done.
    pub(crate) accepted: Moment,
    /// What a connection of its own holds; a stream has none of it.
    _held: Option<(Permit, Held)>,
}

impl Connection {
    /// One of its streams: the same client, with halves and an entry of its own.
    fn stream(&self, reader: Inlet, writer: Outlet, stay: Stay) -> Self {
        Self {
            reader,
            writer,
            input: Buffer::empty(),
            stay,
            peer_ip: self.peer_ip,
            trusted: self.trusted,
            secured: self.secured.clone(),
            served: self.served,
            accepted: self.accepted,
            _held: None,
        }
    }

    /// The connection with its socket back.
    fn with_socket(mut self, reader: Reader, writer: Writer) -> Self {
        (self.reader, self.writer) = (Inlet::Socket(reader), Outlet::Socket(writer));
        self
    }

    /// Whether its first bytes may be HTTP/2's preface.
    fn may_speak_http2(&self) -> bool {
        let spoken = self.stay.entry.listener.with_spec(|spec| spec.http2);
        // Over TLS it is chosen in the handshake, and in no other way (RFC 9113, 3.2).
        spoken == Some(true) && matches!(self.reader, Inlet::Socket(_)) && self.secured.is_none()
    }

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
    /// The client speaks HTTP/2: what it has sent is in the input.
    Http2,
}

/// Spawns the task of an accepted connection.
pub(crate) fn spawn(
    local: &Rc<Local>,
    listener: &Rc<ListenerSeat>,
    stream: Stream,
    ip: IpAddr,
    permit: Permit,
) {
    let entry = Entry {
        deadline: local.timers.deadline(),
        idle: std::cell::Cell::new(true),
        fresh: std::cell::Cell::new(true),
        carries: std::cell::Cell::default(),
        rested: std::cell::Cell::default(),
        listener: Rc::clone(listener),
    };
    let (mut reader, writer) = stream.split(&local.buffers);
    // Most of many connections rest most of the time: a buffer is for those that have shown that they do not.
    reader.set_hold(Hold::Nothing);
    // A peer on a Unix socket is trusted when `unix` is listed.
    let trusted = local.plan().snapshot.server.trusts(ip);
    let connection = Box::new(Connection {
        reader: Inlet::Socket(reader),
        writer: Outlet::Socket(writer),
        input: Buffer::empty(),
        stay: Registry::enter(local, entry),
        peer_ip: ip,
        trusted,
        secured: None,
        served: 0,
        accepted: local.now(),
        _held: Some((permit, local.counts.hold(Count::ConnectionsActive))),
    });
    net::spawn(serve(connection));
}

/// How a wait for the next request ended.
enum Idle {
    /// Bytes can be read.
    Readable,
    /// The client is gone, the time is over, or the gateway wants the connection closed.
    Over,
}

/// Serves a connection. This future is all that a resting connection has beside its state, so what is larger than a
/// wait is boxed here, or recycled by [`Runners`].
async fn serve(mut connection: Box<Connection>) {
    let local = Rc::clone(connection.stay.local());
    match open(&local, &mut connection).await {
        Some(Alpn::H1) => {}
        Some(Alpn::H2) => return Box::pin(h2::serve(&local, *connection)).await,
        None => return,
    }
    let mut began = None;
    loop {
        let (after, since);
        (connection, after, since) = runner::run(&local, connection, Job::Requests(began)).await;
        match after {
            After::KeepAlive => match rest(&local, &mut connection, since).await {
                Some(moment) => began = Some(moment),
                None => return settle(&mut connection).await,
            },
            After::Finish if connection.input.is_empty() && connection.reader.has_read_all() => {
                let Connection { reader, writer, .. } = *connection;
                return wire::close(reader, writer);
            }
            After::Finish | After::Linger => return Box::pin(linger::linger(&local, *connection)).await,
            After::Close => return settle(&mut connection).await,
            After::Reset => return connection.writer.reset_on_close(),
            After::Http2 => return Box::pin(h2::serve(&local, *connection)).await,
        }
    }
}

/// Waits until the kernel has taken the last answer, which was not waited for when it was sent.
async fn settle(connection: &mut Connection) {
    if connection.writer.is_settled() {
        return;
    }
    let time = connection.stay.entry.listener.with_spec(|spec| spec.limits.body_timeout);
    // A client that takes nothing for so long, or is gone, ends the wait; so does the end of a drain.
    connection.stay.entry.deadline.set_sliding(time.unwrap_or_default());
    let _ = Box::pin(connection.writer.settle(&connection.stay.entry.deadline)).await;
}

/// Sees a connection from the accept to its first byte, or to the choice of HTTP/2 in its handshake.
async fn open(local: &Local, connection: &mut Connection) -> Option<Alpn> {
    let listener = &connection.stay.entry.listener;
    let (header_timeout, proxied, is_secure) =
        listener.with_spec(|spec| (spec.limits.header_timeout, spec.proxy_protocol, spec.tls.is_some()))?;
    if proxied {
        let header = Box::pin(h1::proxy_header(local, connection, header_timeout));
        if header.await.is_none() {
            local.counts.add(Count::ProxyHeaderRefused, 1);
            return None;
        }
    }
    if is_secure && Box::pin(secure::shake(local, connection)).await? == Alpn::H2 {
        return Some(Alpn::H2);
    }
    // The first request is often there as soon as the connection is.
    if connection.input.is_empty()
        && let Some(first) = connection.reader.recv_now()
    {
        connection.input = first;
    }
    if connection.input.is_empty() {
        // A connection that never sends a byte is held to the header timeout, later waits to the idle timeout.
        let until = connection.accepted.after(header_timeout);
        return match idle(local, connection, until).await {
            Idle::Readable => Some(Alpn::H1),
            Idle::Over => None,
        };
    }
    Some(Alpn::H1)
}

/// Waits for the next request after an answer; says when its first bytes came, or `None` when the wait is over.
async fn rest(local: &Local, connection: &mut Connection, since: Moment) -> Option<Moment> {
    if connection.reader.hold() == Hold::Buffer {
        match idle(local, connection, since.after(REST)).await {
            Idle::Readable => return Some(local.now()),
            Idle::Over => connection.reader.let_go().await,
        }
    }
    // Forgets a send that is over.
    let _ = connection.writer.is_settled();
    // Asked for each time: a reload may have changed it.
    let limits = connection
        .stay
        .entry
        .listener
        .with_spec(|spec| (spec.limits.idle_timeout, spec.limits.connection_age));
    let (idle_timeout, age) = limits.unwrap_or_default();
    let aged = age.map_or(Moment(u64::MAX), |age| connection.accepted.after(age));
    match idle(local, connection, since.after(idle_timeout).min(aged)).await {
        Idle::Readable => {
            let now = local.now();
            if now.since(since) <= REST {
                connection.reader.set_hold(Hold::Buffer);
            }
            Some(now)
        }
        Idle::Over => None,
    }
}

/// Waits for a byte.
async fn idle(local: &Local, connection: &mut Connection, until: Moment) -> Idle {
    // What is used up goes back to the pool: a wait holds no buffer.
    drop(std::mem::take(&mut connection.input));
    let entry = &connection.stay.entry;
    entry.idle.set(true);
    entry.fresh.set(connection.served == 0);
    let closing = connection.served > 0 && (!local.ready.get() || entry.listener.is_closing());
    connection.set_deadline(local, if closing { until.min(entry.grace_until()) } else { until });
    let reader = &mut connection.reader;
    let outcome = poll_fn(|cx| {
        if reader.poll_readable(cx).is_ready() {
            return Poll::Ready(Idle::Readable);
        }
        entry.deadline.poll_expired(cx).map(|()| Idle::Over)
    })
    .await;
    entry.idle.set(false);
    outcome
}
