//! One attempt: a connection to one endpoint, the request on it, the response from it.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway_config::snapshot::{Limits, Route};
use ringway_filters::Scheme;
use ringway_http::grpc::web::Coding;
use ringway_http::h1::{self, BodyReader, BodyWriter};
use ringway_http::h2::{self, Outgoing};
use ringway_http::{BodyError, Fields, Framing, Method, Persistence, RequestHead};

use super::body::RequestBody;
use super::relay::{HALF_CLOSED_TIME, Pace, Relay, RelayError};
use super::response::{Outcome, Response, stream_fault};
use super::translate::{Translation, decoded};
use super::{Exchange, Scratch, grpc, handshake};
use crate::clock::Moment;
use crate::downstream::Connection;
use crate::error::{Fault, Side};
use crate::net::{Buffer, Buffers, Deadline, NetError};
use crate::upstream::{Checkout, Seat};
use crate::wire::{self, Inlet, Outlet};
use crate::worker::Local;

/// A client that has sent so much ahead of its answer is not read further until its turn.
const AHEAD_BYTES_MAX: usize = 2 * Buffers::SMALL;

/// A client that has said that it sends nothing more is watched for its leaving only from then on.
const LAST_WATCHED_AFTER: Duration = Duration::from_millis(20);

/// What the two directions of an attempt tell each other.
pub(super) struct Link {
    /// The request has been sent whole.
    pub(super) upload_done: Cell<bool>,
    /// The client has ended its sending side.
    pub(super) client_left: Cell<bool>,
    /// The client has said that this request is its last.
    last_of_client: bool,
    /// How the client writes gRPC-web, if that is translated.
    pub(super) web: Option<Coding>,
    /// The request's way waits for the client's bytes.
    awaits_client: Cell<bool>,
    /// Bytes of the request body taken in.
    bytes_in: Cell<u64>,
}

impl Link {
    fn new(upload_done: bool, client: Persistence, web: Option<Coding>) -> Self {
        Self {
            upload_done: Cell::new(upload_done),
            last_of_client: client == Persistence::Close,
            client_left: Cell::new(false),
            web,
            awaits_client: Cell::new(false),
            bytes_in: Cell::new(0),
        }
    }

    /// The true reason of a wait for the upstream that was over: it was late, or the client was.
    pub(super) fn why_late(&self, late: Fault) -> Fault {
        if matches!(late, Fault::UpstreamTimeout | Fault::UpstreamBodyTimeout) && self.client_left.get() {
            return Fault::ClientClosed;
        }
        let client_late = !self.upload_done.get() && self.awaits_client.get();
        if late == Fault::UpstreamTimeout && client_late { Fault::RequestTimeout } else { late }
    }
}

/// What an attempt is given.
pub(super) struct Attempt<'p> {
    pub(super) route: &'p Route,
    pub(super) seat: &'p Rc<Seat>,
    /// The route's timeout.
    pub(super) until: Moment,
    /// The whole body, when it is at hand.
    pub(super) ready: Option<usize>,
    /// Whether a status of `retry.on` may be tried again.
    pub(super) may_try_again: bool,
}

impl Exchange<'_> {
    /// Sends the request on a checked-out connection and relays the response.
    pub(super) async fn attempt(
        &mut self,
        attempt: &Attempt<'_>,
        up: &mut Checkout,
    ) -> Result<Outcome, Fault> {
        let framing = self.request_framing()?;
        let outgoing = decoded(framing, self.web);
        up.deadline.set(attempt.until);
        if up.ride.is_some() {
            self.open_stream(attempt, up, outgoing).await?;
        } else {
            let out = self.encode_request(attempt, outgoing);
            // Not waited for: an endpoint that does not take it does not answer it either.
            if let Err(out) = up.writer.post(out) {
                up.writer.send(out, &up.deadline).await.map_err(|error| request_fault(&error))?;
            }
        }
        self.record.stages.sent_us = Some(self.record.stage(self.local));
        let streams = attempt.ready.is_none();
        if streams {
            self.body = RequestBody::Begun;
        }
        let link = Link::new(!streams, self.scratch.request.persistence, self.web);
        let outcome = self.both_ways(attempt, up, &link, framing).await;
        self.record.bytes_in += link.bytes_in.get();
        if streams && link.upload_done.get() {
            self.body = RequestBody::Done;
        }
        outcome
    }

    /// The framing of the request towards the endpoint.
    fn request_framing(&self) -> Result<Framing, Fault> {
        match self.body {
            RequestBody::Done if expects_length(self.scratch.request.method) => Ok(Framing::Length(0)),
            RequestBody::Done => Ok(self.scratch.request.framing),
            RequestBody::Untouched(framing) => Ok(framing),
            // An attempt after one that streamed the body: nothing is left to send.
            RequestBody::Begun => Err(Fault::ResetBeforeHead),
        }
    }

    /// Relays the response, and meanwhile the rest of the request, or watches the client.
    async fn both_ways(
        &mut self,
        attempt: &Attempt<'_>,
        up: &mut Checkout,
        link: &Link,
        framing: Framing,
    ) -> Result<Outcome, Fault> {
        let may_persist = self.may_persist();
        let chain = self.record.route.and_then(|id| self.plan.chain(id));
        let Scratch { request, response, facts, chain: state, upgrade, write_deadline, .. } =
            &mut *self.scratch;
        let Connection { reader, writer, input, stay, .. } = &mut *self.connection;
        let mut response = Response {
            local: self.local,
            route: attempt.route,
            limits: &self.limits,
            chain,
            link,
            reader: &mut up.reader,
            input: &mut up.input,
            head_reader: &mut up.head_reader,
            deadline: &up.deadline,
            writer,
            write_deadline,
            request,
            head: response,
            state,
            facts,
            upgrade,
            record: &mut self.record,
            may_try_again: attempt.may_try_again,
            may_persist,
        };
        let deadline = &stay.entry.deadline;
        // Pinned here and lent: a future that is handed over is held twice.
        let response = pin!(response.run());
        if attempt.ready.is_some() {
            let watch = pin!(watch_client(self.local, reader, input, deadline, &up.deadline, link));
            return drive(response, watch).await;
        }
        let mut upload =
            Upload { local: self.local, limits: &self.limits, link, framing, reader, input, deadline };
        // Boxed: it would make the future of every exchange half as large again, and most have no such body.
        let mut upload = Box::pin(upload.run(&mut up.writer, &up.deadline));
        drive(response, upload.as_mut()).await
    }

    /// Opens a stream with the request's head, and sends its body when that is at hand.
    async fn open_stream(
        &mut self,
        attempt: &Attempt<'_>,
        up: &mut Checkout,
        framing: Framing,
    ) -> Result<(), Fault> {
        self.write_target(attempt);
        let Scratch { request, path, facts, upgrade, .. } = &mut *self.scratch;
        let Some(ride) = &up.ride else { return Err(Fault::ConnectFailed) };
        // Another upgrade is one that HTTP/2 does not know, and a server may ignore it (RFC 9110, 7.8).
        let protocol = handshake::is_websocket(upgrade).then_some("websocket");
        if protocol.is_some() && !ride.allows_extended_connect() {
            return Err(Fault::NoWebSocket);
        }
        let outgoing = Outgoing {
            method: request.method_text(),
            scheme: match facts.scheme {
                Scheme::Http => h2::Scheme::Http,
                Scheme::Https => h2::Scheme::Https,
            },
            authority: authority(request, attempt),
            path,
            fields: &request.fields,
            framing,
            te_trailers: true,
            protocol,
        };
        let ready = attempt.ready.unwrap_or_default();
        let ends = ready == 0 && attempt.ready.is_some() && protocol.is_none();
        let opened = ride.requests().send(&outgoing, ends);
        let (response, outbound) = opened.map_err(stream_fault)?;
        wire::open(&mut up.reader, response, (!ends).then_some(outbound));
        if let (Outlet::Stream(stream), true) = (&mut up.writer, ready > 0) {
            let mut out = self.local.buffers.take(ready);
            out.append().extend_from_slice(self.connection.input.filled().get(..ready).unwrap_or_default());
            let sent = stream.end(out, &Fields::new(), &up.deadline).await;
            sent.map_err(|error| request_fault(&error))?;
        }
        Ok(())
    }

    /// The path for the upstream, and the time that is left for it.
    fn write_target(&mut self, attempt: &Attempt<'_>) {
        let Scratch { request, facts, path, .. } = &mut *self.scratch;
        if grpc::time_left(&request.fields).is_some() {
            grpc::tell_time_left(&mut request.fields, attempt.until.since(self.local.now()));
        }
        path.clear();
        if let Some(upstream) =
            self.record.upstream.and_then(|id| self.plan.upstream(id)).and_then(|u| u.spec())
        {
            path.push_str(&upstream.base_path);
        }
        attempt.route.rewrite.apply(request.path(), &facts.params, &mut self.plan.regexes.borrow_mut(), path);
        if let Some(query) = request.query() {
            path.push('?');
            path.push_str(query);
        }
    }

    /// The request's head, with its body behind it when that is at hand.
    fn encode_request(&mut self, attempt: &Attempt<'_>, framing: Framing) -> Buffer {
        self.write_target(attempt);
        let Scratch { request, path, upgrade, .. } = &mut *self.scratch;
        if request.extended_connect {
            // Too many bytes of fields are refused before.
            let _ = handshake::add_key(&mut request.fields);
        }
        let authority = authority(request, attempt);
        let ready = attempt.ready.unwrap_or_default();
        let mut out = self.local.buffers.take(Buffers::SMALL.max(ready + 4096));
        let upgrade = (!upgrade.is_empty()).then_some(upgrade.as_slice());
        h1::write_request(
            out.append(),
            request.method_text(),
            path,
            authority,
            &request.fields,
            framing,
            upgrade,
        );
        if let Some(body) = self.connection.input.filled().get(..ready) {
            out.append().extend_from_slice(body);
        }
        out
    }
}

/// The host that the endpoint is told.
fn authority<'a>(request: &'a RequestHead, attempt: &'a Attempt<'_>) -> &'a str {
    match request.authority() {
        authority if attempt.route.preserve_host && !authority.is_empty() => authority,
        _ => &attempt.seat.member.host,
    }
}

/// Why a request's head could not be sent.
fn request_fault(error: &NetError) -> Fault {
    match error {
        NetError::TimedOut => Fault::UpstreamTimeout,
        NetError::Io(_) => Fault::ResetBeforeHead,
    }
}

/// Methods whose requests state a length even when there is no body (RFC 9110, 8.6).
fn expects_length(method: Method) -> bool {
    matches!(method, Method::Post | Method::Put | Method::Patch)
}

/// Polls both directions until the response is done. The request's way may end earlier, or be cut by the response's
/// end; a fault of the client's on it ends the exchange, a fault of the upstream's does not: its answer may already
/// be under way.
async fn drive(
    mut response: Pin<&mut impl Future<Output = Result<Outcome, Fault>>>,
    mut request: Pin<&mut impl Future<Output = Result<(), Fault>>>,
) -> Result<Outcome, Fault> {
    let mut sending = true;
    poll_fn(|cx| {
        if sending && let Poll::Ready(sent) = request.as_mut().poll(cx) {
            sending = false;
            if let Err(fault) = sent
                && fault.describe().side != Side::Upstream
            {
                return Poll::Ready(Err(fault));
            }
        }
        response.as_mut().poll(cx)
    })
    .await
}

/// A request body that is still coming.
struct Upload<'a> {
    local: &'a Rc<Local>,
    limits: &'a Limits,
    link: &'a Link,
    framing: Framing,
    reader: &'a mut Inlet,
    input: &'a mut Buffer,
    deadline: &'a Deadline,
}

impl Upload<'_> {
    /// Sends it; then watches the client.
    async fn run(&mut self, writer: &mut Outlet, write_deadline: &Deadline) -> Result<(), Fault> {
        let limits = self.limits;
        // A stream's bytes are the body, and nothing else (RFC 9113, 8.1).
        let from = if self.reader.is_stream() { Framing::UntilClose } else { self.framing };
        let to = if writer.is_stream() { Framing::UntilClose } else { decoded(self.framing, self.link.web) };
        let mut body = BodyReader::new(from, &limits.head);
        let mut encoder = BodyWriter::new(to);
        let bytes_out = Cell::new(0);
        let mut relay = Relay {
            local: self.local,
            buffers: &self.local.buffers,
            reader: &mut *self.reader,
            input: &mut *self.input,
            read_deadline: self.deadline,
            body: &mut body,
            writer,
            write_deadline,
            encoder: &mut encoder,
            then: Persistence::KeepAlive,
            pace: Pace {
                bytes_max: limits.body_bytes_max,
                read_timeout: Some(limits.body_timeout),
                read_until: None,
                write_timeout: None,
                min_rate: limits.min_rate,
            },
            bytes_in: &self.link.bytes_in,
            bytes_out: &bytes_out,
            waited: Duration::ZERO,
            hurried: None,
            reading: Some(&self.link.awaits_client),
            translation: Translation::of_request(self.link.web),
        };
        relay.run(Buffer::empty()).await.map_err(|error| upload_fault(&error))?;
        self.link.upload_done.set(true);
        watch_client(self.local, self.reader, self.input, self.deadline, write_deadline, self.link).await
    }
}

fn upload_fault(error: &RelayError) -> Fault {
    match error {
        RelayError::Read(NetError::TimedOut) => Fault::BodyTimeout,
        RelayError::Read(NetError::Io(_)) => Fault::ClientReset,
        RelayError::Body(BodyError::Truncated) => Fault::ClientClosed,
        RelayError::Body(error) => Fault::RequestBody(*error),
        RelayError::Write(NetError::TimedOut) => Fault::UpstreamTimeout,
        RelayError::Write(NetError::Io(_)) => Fault::ResetBeforeHead,
        RelayError::TooLarge => Fault::BodyTooLarge,
        RelayError::TooSlow => Fault::BodyTooSlow,
    }
}

/// Watches the client while its answer is awaited, so that one that leaves stops the upstream's work. What it sends
/// ahead is kept for its turn, up to a bound; beyond that its leaving cannot be seen.
async fn watch_client(
    local: &Local,
    reader: &mut Inlet,
    input: &mut Buffer,
    watch_deadline: &Deadline,
    response_deadline: &Deadline,
    link: &Link,
) -> Result<(), Fault> {
    if let Inlet::Stream(stream) = reader {
        watch_deadline.set(Moment(u64::MAX - 1));
        return Err(match stream.watch(watch_deadline).await {
            Ok(()) => Fault::ClientReset,
            Err(_) => Fault::DrainCut,
        });
    }
    if link.last_of_client {
        // Most answers come sooner, and then no watch has to be armed and cancelled.
        watch_deadline.set(local.now().after(LAST_WATCHED_AFTER));
        watch_deadline.expired().await;
    }
    // Nothing is awaited of the client itself: only the end of a drain ends this wait.
    watch_deadline.set(Moment(u64::MAX - 1));
    // A body that is at hand stays in the input, too.
    let full = input.len() + AHEAD_BYTES_MAX;
    while input.len() < full {
        match reader.recv(watch_deadline).await {
            Ok(Some(ahead)) => input.absorb(ahead),
            Ok(None) => {
                link.client_left.set(true);
                let at = local.now().after(HALF_CLOSED_TIME);
                if response_deadline.at().is_none_or(|before| before > at) {
                    response_deadline.set(at);
                }
                break;
            }
            Err(NetError::TimedOut) => return Err(Fault::DrainCut),
            Err(NetError::Io(_)) => return Err(Fault::ClientReset),
        }
    }
    watch_deadline.expired().await;
    Err(Fault::DrainCut)
}
