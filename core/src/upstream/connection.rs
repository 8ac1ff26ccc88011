//! One connection to an endpoint, and the right to use it.

use std::rc::Rc;

use ringway_config::snapshot::Protocol;
use ringway_http::h1::HeadReader;

use super::lane::{self, Ride};
use super::pool::Pool;
use super::secure;
use crate::clock::Moment;
use crate::error::Fault;
use crate::net::tls::Alpn;
use crate::net::{self, Buffer, Deadline, NetError, Reader, Writer};
use crate::shard::EndpointCount;
use crate::wire::{self, Inlet, Outlet};
use crate::worker::Local;

/// A connection to an endpoint.
pub(super) struct Connection {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    deadline: Deadline,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// Whether a checked-out connection has carried an exchange before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was idle in the pool: its endpoint may be closing it at this moment.
    Pooled,
    /// It was just opened.
    Fresh,
}

/// Proof that a message ended where the connection's next one may begin.
#[derive(Debug)]
pub(crate) struct Reusable(());

impl Reusable {
    /// To be called only where a response has been read to its end, nothing follows it, and its request was sent whole.
    pub(crate) fn at_message_boundary() -> Self {
        Self(())
    }
}

/// A connection in use by one attempt. Dropping it closes the connection; [`Checkout::release`] gives it back.
pub(crate) struct Checkout {
    /// Receives the response.
    pub(crate) reader: Inlet,
    /// Sends the request.
    pub(crate) writer: Outlet,
    /// The route's timeout; for connecting: the connect timeout.
    pub(crate) deadline: Deadline,
    /// Received and not yet used.
    pub(crate) input: Buffer,
    /// Finds the response head in the input.
    pub(crate) head_reader: HeadReader,
    /// Whether it was idle before.
    pub(crate) origin: Origin,
    /// The connection of many exchanges on which this one's stream is to be opened.
    pub(crate) ride: Option<Ride>,
    _in_use: InUse,
}

/// Keeps the gauge of connections in use.
struct InUse(Rc<Pool>);

impl InUse {
    fn new(pool: &Rc<Pool>) -> Self {
        pool.count(EndpointCount::Active);
        Self(Rc::clone(pool))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.count_sub(EndpointCount::Active);
    }
}

impl Checkout {
    /// An idle connection of the pool, if one is fit, or a place on one that carries many.
    pub(crate) fn pooled(local: &Local, pool: &Rc<Pool>) -> Option<Self> {
        if pool.speaks_http2() {
            let ride = lane::find(pool)?;
            return Some(Self::on_lane(local, pool, ride, local.timers.deadline()));
        }
        let connection = pool.take_quiet()?;
        pool.count(EndpointCount::Reused);
        Some(Self::new(pool, connection, Origin::Pooled))
    }

    /// A new connection, or a place on one that carries many, by `until` at the latest.
    pub(crate) async fn connect(local: &Rc<Local>, pool: &Rc<Pool>, until: Moment) -> Result<Self, Fault> {
        let deadline = local.timers.deadline();
        deadline.set(until);
        if pool.speaks_http2() {
            let ride = Box::pin(lane::board(local, pool, &deadline)).await?;
            return Ok(Self::on_lane(local, pool, ride, deadline));
        }
        let (reader, writer, alpn) = dial(local, pool, &deadline).await?;
        if alpn == Alpn::H2 {
            let ride = Box::pin(lane::begin_with(local, pool, (reader, writer), &deadline)).await?;
            return Ok(Self::on_lane(local, pool, ride, deadline));
        }
        Ok(Self::new(pool, Connection { reader, writer, deadline }, Origin::Fresh))
    }

    /// A place on a connection that carries many.
    fn on_lane(local: &Local, pool: &Rc<Pool>, ride: Ride, deadline: Deadline) -> Self {
        let (inlet, outlet) = wire::unopened(&local.buffers);
        if !ride.is_first() {
            pool.count(EndpointCount::Reused);
        }
        Self {
            reader: Inlet::Stream(Box::new(inlet)),
            writer: Outlet::Stream(Box::new(outlet)),
            deadline,
            input: Buffer::empty(),
            head_reader: HeadReader::new(),
            origin: if ride.is_first() { Origin::Fresh } else { Origin::Pooled },
            ride: Some(ride),
            _in_use: InUse::new(pool),
        }
    }

    fn new(pool: &Rc<Pool>, connection: Connection, origin: Origin) -> Self {
        let Connection { reader, writer, deadline } = connection;
        Self {
            reader: Inlet::Socket(reader),
            writer: Outlet::Socket(writer),
            deadline,
            input: Buffer::empty(),
            head_reader: HeadReader::new(),
            origin,
            ride: None,
            _in_use: InUse::new(pool),
        }
    }

    /// Gives the connection back to its pool.
    pub(crate) fn release(self, _proof: Reusable, now: Moment) {
        let Self { reader, writer, deadline, _in_use: in_use, .. } = self;
        // A stream has ended; its connection carries the next ones meanwhile.
        let (Inlet::Socket(reader), Outlet::Socket(mut writer)) = (reader, writer) else { return };
        // An answer that came before its request was sent whole says nothing about what the endpoint will read.
        if !writer.is_settled() {
            return;
        }
        deadline.clear();
        in_use.0.keep(Connection { reader, writer, deadline }, now);
    }
}

/// Connects to an address, and makes the handshake where TLS is spoken. Says what is spoken within.
pub(super) async fn dial(
    local: &Local,
    pool: &Pool,
    deadline: &Deadline,
) -> Result<(Reader, Writer, Alpn), Fault> {
    let opened = match net::connect(&pool.address, deadline).await {
        Ok(stream) => {
            let halves = stream.split(&local.buffers);
            match &pool.secure {
                Some(secure) => Box::pin(secure::shake(pool, secure, halves, deadline)).await,
                None if pool.terms().protocol == Protocol::Http2 => Ok((halves.0, halves.1, Alpn::H2)),
                None => Ok((halves.0, halves.1, Alpn::H1)),
            }
        }
        Err(error) => Err(match error {
            NetError::TimedOut => Fault::ConnectTimeout,
            NetError::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => Fault::ConnectRefused,
            NetError::Io(_) => Fault::ConnectFailed,
        }),
    };
    pool.count(if opened.is_ok() { EndpointCount::ConnectsOk } else { EndpointCount::ConnectsFailed });
    opened
}
