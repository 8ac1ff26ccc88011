//! Accepting on one socket until its listener closes.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::Local;
use super::cap::Refusal;
use super::plan::ListenerSeat;
use crate::downstream;
use crate::log::{self, Level};
use crate::net::{self, Acceptor, Peer, Stream};
use crate::shard::Count;

/// The first wait after an error of accept; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A closing listener is closed once no connection has come for so long. Handshakes that were under way are done by
/// then.
const QUIET: Duration = Duration::from_millis(200);

enum Accepted {
    Stream(Stream),
    Error(io::Error),
    Closing,
}

/// Accepts until the listener closes; then takes what is queued, and closes the socket without resetting anyone.
pub(crate) async fn accept_loop(local: Rc<Local>, seat: Rc<ListenerSeat>, mut acceptor: Acceptor) {
    let mut backoff = BACKOFF_MIN;
    let mut place = None;
    loop {
        match next(&seat, &mut place, &mut acceptor).await {
            Accepted::Stream(stream) => {
                backoff = BACKOFF_MIN;
                net::contain(|| admit(&local, &seat, stream));
            }
            Accepted::Error(error) => {
                local.counts.add(Count::AcceptErrors, 1);
                if backoff == BACKOFF_MIN {
                    say_accept_error(&seat.name, &error);
                }
                net::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            Accepted::Closing => break,
        }
    }
    close(&local, &seat, acceptor).await;
    local.accepting.set(local.accepting.get().saturating_sub(1));
}

async fn next(seat: &ListenerSeat, place: &mut Option<usize>, acceptor: &mut Acceptor) -> Accepted {
    let mut accept = pin!(acceptor.accept());
    poll_fn(|cx| {
        if seat.poll_closing(place, cx).is_ready() {
            return Poll::Ready(Accepted::Closing);
        }
        accept.as_mut().poll(cx).map(|result| match result {
            Ok(stream) => Accepted::Stream(stream),
            Err(error) => Accepted::Error(error),
        })
    })
    .await
}

async fn close(local: &Rc<Local>, seat: &Rc<ListenerSeat>, mut acceptor: Acceptor) {
    // Without the filter, a handshake that ends between the last accept and the close would be reset.
    let filtered = acceptor.stop_handshakes().is_ok();
    let mut quiet_since = local.now();
    let began = quiet_since;
    while !local.cut.get() {
        while let Some(stream) = acceptor.accept_queued() {
            net::contain(|| admit(local, seat, stream));
            quiet_since = local.now();
        }
        let now = local.now();
        if now.since(quiet_since) >= QUIET || (!filtered && now.since(began) >= QUIET) {
            break;
        }
        net::sleep(Duration::from_millis(10)).await;
    }
}

/// Counts a connection in and serves it, or sheds it.
fn admit(local: &Rc<Local>, seat: &Rc<ListenerSeat>, stream: Stream) {
    local.counts.add(Count::ConnectionsAccepted, 1);
    let ip = match stream.peer() {
        Peer::Socket(address) => address.ip().to_canonical(),
        Peer::Unix => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    // Clients on a Unix socket have no address by which they could be told apart.
    let has_address = matches!(stream.peer(), Peer::Socket(_));
    let per_ip = seat.with_spec(|spec| spec.limits.connections_per_ip).flatten().filter(|_| has_address);
    match local.connections.try_enter(ip, per_ip) {
        Ok(permit) => downstream::spawn(local, seat, stream, ip, permit),
        Err(Refusal::Full) => local.counts.add(Count::ConnectionsShed, 1),
        Err(Refusal::PerIp) => local.counts.add(Count::ConnectionsPerIpRefused, 1),
    }
}

/// Says once per row of errors that connections cannot be accepted.
pub(super) fn say_accept_error(listener: &str, error: &io::Error) {
    log::say(
        Level::Warn,
        "accept.error",
        "connections cannot be accepted; trying again with growing pauses",
        &[("listener", &listener), ("error", error)],
    );
}
