//! One request and its response, top to bottom.

mod answer;
mod attempt;
mod body;
mod fail;
mod files;
mod grpc;
mod handshake;
mod proxy;
mod record;
mod relay;
pub(crate) mod request_id;
mod respond;
mod response;
mod static_files;
mod translate;
mod tunnel;

use std::rc::Rc;

use ringway_config::routes::Found;
use ringway_config::snapshot::{ClientCertificate, Limits, ListenerId, Route, RouteId, Terminal};
use ringway_filters::{Scheme, Verdict};
use ringway_http::grpc::web::Coding;
use ringway_http::{Framing, HeadError, Known, Method, Version};

use crate::clock::Moment;
use crate::downstream::{After, Connection, forwarded};
use crate::error::Fault;
use crate::upstream::Checkout;
use crate::worker::{Local, Plan, Scratch};
use body::RequestBody;
use record::Record;

/// How an exchange begins.
pub(crate) struct Opening {
    /// The plan that it keeps.
    pub(crate) plan: Rc<Plan>,
    /// The listener's place in it.
    pub(crate) listener: ListenerId,
    /// When its first byte came.
    pub(crate) began: Moment,
    /// The listener's limits.
    pub(crate) limits: Limits,
}

/// One request and its response, while they are under way.
struct Exchange<'a> {
    local: &'a Rc<Local>,
    plan: Rc<Plan>,
    listener: ListenerId,
    connection: &'a mut Connection,
    scratch: &'a mut Scratch,
    record: Record,
    /// The limits in force: the listener's, narrowed by the route's once there is one.
    limits: Limits,
    /// How much of the request body has been used.
    body: RequestBody,
    /// How the client writes gRPC-web, if that is translated.
    web: Option<Coding>,
}

/// How an exchange ends.
enum End {
    /// With a response, or without one.
    After(After),
    /// As a tunnel to an endpoint.
    Tunnel(Box<Checkout>),
}

impl From<After> for End {
    fn from(after: After) -> Self {
        Self::After(after)
    }
}

/// Runs an exchange whose head has been read.
pub(crate) async fn run(
    local: &Rc<Local>,
    connection: &mut Connection,
    scratch: &mut Scratch,
    opening: Opening,
) -> After {
    let mut exchange = Exchange::new(local, connection, scratch, opening);
    let end = exchange.answer().await;
    let Exchange { plan, connection, scratch, mut record, limits, .. } = exchange;
    match end {
        End::After(after) => {
            let names = record.names(&plan);
            record.finish(local, connection, scratch, &names);
            after
        }
        End::Tunnel(checkout) => {
            // A tunnel may live for days: it must not keep an old plan alive.
            let names = record.names(&plan).own();
            drop(plan);
            let terms = tunnel::Terms::new(&limits, scratch);
            Box::pin(tunnel::run(local, connection, *checkout, &mut record, terms)).await;
            record.finish(local, connection, scratch, &names.lend());
            After::Close
        }
    }
}

/// Answers a head that was refused; the connection ends.
pub(crate) async fn refuse(
    local: &Rc<Local>,
    connection: &mut Connection,
    scratch: &mut Scratch,
    opening: Opening,
    fault: Fault,
) -> After {
    // What could be parsed of the refused head is not believed.
    let version = scratch.request.version;
    scratch.request.clear();
    if version == Version::Http2 {
        scratch.request.version = version;
    }
    scratch.request.persistence = ringway_http::Persistence::Close;
    let mut exchange = Exchange::new(local, connection, scratch, opening);
    exchange.learn();
    let after = exchange.fail(fault).await;
    let Exchange { plan, connection, scratch, record, .. } = exchange;
    let names = record.names(&plan);
    record.finish(local, connection, scratch, &names);
    match after {
        After::KeepAlive | After::Finish => After::Linger,
        other @ (After::Linger | After::Close | After::Reset | After::Http2) => other,
    }
}

impl<'a> Exchange<'a> {
    fn new(
        local: &'a Rc<Local>,
        connection: &'a mut Connection,
        scratch: &'a mut Scratch,
        opening: Opening,
    ) -> Self {
        let mut record = Record::new(local, opening.began);
        record.bytes_in = scratch.request.wire_bytes as u64;
        record.stages.head_us = record.stage(local);
        let body = RequestBody::new(scratch.request.framing);
        scratch.chain.clear();
        let Opening { plan, listener, limits, .. } = opening;
        Self { local, plan, listener, connection, scratch, record, limits, body, web: None }
    }

    /// The exchange's steps, in the order in which they happen.
    async fn answer(&mut self) -> End {
        self.learn();
        let plan = Rc::clone(&self.plan);
        let (id, route) = match self.route(&plan) {
            Ok(found) => found,
            Err(Step::Fault(fault)) => return self.fail(fault).await.into(),
            Err(Step::Asterisk) => return self.answer_options().await.into(),
            Err(Step::RedirectHttps(port)) => return self.redirect_https(port).await.into(),
        };
        // Judged as received: what is added for the upstream does not count. Told once the filters have run.
        let over_limit = self.over_limit();
        if let Terminal::Proxy(_) = route.terminal {
            self.prepare_for_upstream();
        }
        if let Some(chain) = plan.chain(id) {
            let Scratch { request, facts, chain: state, .. } = &mut *self.scratch;
            if let Verdict::Answer(reply) = chain.on_request_head(state, request, facts) {
                return self.reply(&reply).await.into();
            }
        }
        if let Some(fault) = over_limit {
            return self.fail(fault).await.into();
        }
        self.record.stages.filters_us = self.record.stage(self.local);
        match &route.terminal {
            Terminal::Proxy(upstream) => self.proxy(route, *upstream).await,
            // A 2xx would tell its client that its WebSocket is open (RFC 8441, 5).
            _ if self.scratch.request.extended_connect => self.fail(Fault::WebSocketHere).await.into(),
            Terminal::Static(files) => self.serve_file(files).await.into(),
            Terminal::Respond(respond) => self.respond(respond).await.into(),
        }
    }

    /// Learns who asks for what.
    fn learn(&mut self) {
        let server = &self.plan.snapshot.server;
        let Scratch { request, facts, .. } = &mut *self.scratch;
        let (peer, trusted) = (self.connection.peer_ip, self.connection.trusted);
        let own = if self.connection.secured.is_some() { Scheme::Https } else { Scheme::Http };
        facts.clear();
        facts.client_ip = forwarded::client_ip(&request.fields, peer, trusted, server);
        facts.scheme = forwarded::scheme(&request.fields, peer, trusted, server, own);
        facts.host.push_str(request.host());
        let kept = request.fields.known(Known::XRequestId).filter(|_| trusted);
        match kept.and_then(forwarded::acceptable_request_id) {
            Some(id) => facts.request_id.push_str(id),
            None => self.local.request_ids.append(&mut facts.request_id),
        }
    }

    /// Finds the route, or the reason why there is none.
    fn route<'p>(&mut self, plan: &'p Plan) -> Result<(RouteId, &'p Route), Step> {
        let Scratch { request, facts, text, .. } = &mut *self.scratch;
        if request.method == Method::Connect {
            return Err(Step::Fault(Fault::Connect));
        }
        if let Some(name) = self.connection.secured.as_ref().and_then(|tls| tls.server_name.as_deref())
            && let Some(tls) = plan.secure(self.listener)
            && !facts.host.is_empty()
            && !tls.tls.may_ask_for(name, &facts.host)
        {
            return Err(Step::Fault(Fault::Misdirected));
        }
        if forwarded::via_hops(&request.fields) >= forwarded::VIA_HOPS_MAX {
            return Err(Step::Fault(Fault::Loop));
        }
        if request.path() == "*" {
            return Err(Step::Asterisk);
        }
        if matches!(request.method, Method::Options | Method::Trace)
            && !forwarded::may_forward(&mut request.fields)
        {
            // The last that may answer is the gateway itself, which echoes nothing.
            return Err(if request.method == Method::Trace {
                Step::Fault(Fault::Trace)
            } else {
                Step::Asterisk
            });
        }
        text.clear();
        let found = plan.snapshot.routes.find(
            self.listener,
            request,
            &mut facts.params,
            &mut plan.regexes.borrow_mut(),
            text,
        );
        let redirect =
            plan.snapshot.listeners.get(self.listener.0 as usize).and_then(|l| l.redirect_https.as_ref());
        let (id, route) = match found {
            Found::Route(id) => (id, plan.route(id).ok_or(Step::Fault(Fault::NoRoute))?),
            Found::MethodNotAllowed(_) | Found::Nothing
                if redirect.is_some_and(|_| facts.scheme == Scheme::Http) =>
            {
                return Err(redirect.map_or(Step::Fault(Fault::NoRoute), |r| Step::RedirectHttps(r.port)));
            }
            Found::MethodNotAllowed(_) => return Err(Step::Fault(Fault::Method)),
            Found::Nothing => return Err(Step::Fault(Fault::NoRoute)),
        };
        self.record.route = Some(id);
        // Most routes have those of their listener: to see that costs less than to narrow them.
        if *route.limits != self.limits {
            self.limits = route.limits.narrowed_by(&self.limits);
        }
        facts.route.push_str(&route.name);
        if route.client_certificate == ClientCertificate::Required
            && !self.connection.secured.as_ref().is_some_and(|tls| tls.has_certificate)
        {
            return Err(Step::Fault(Fault::NoClientCertificate));
        }
        match redirect {
            Some(redirect)
                if facts.scheme == Scheme::Http && !route.served_in_clear.contains(&self.listener) =>
            {
                Err(Step::RedirectHttps(redirect.port))
            }
            _ => Ok((id, route)),
        }
    }

    /// Whether the request is over a limit of its route before its body is read.
    fn over_limit(&self) -> Option<Fault> {
        let request = &self.scratch.request;
        let head = &self.limits.head;
        if request.wire_bytes > head.head_bytes_max {
            return Some(Fault::Head(HeadError::HeadLength));
        }
        if request.fields.len() > head.fields_max {
            return Some(Fault::Head(HeadError::FieldCount));
        }
        if request.target().len() > head.uri_bytes_max {
            return Some(Fault::Head(HeadError::TargetLength));
        }
        match (request.framing, self.limits.body_bytes_max) {
            (Framing::Length(n), Some(max)) if n > max => Some(Fault::BodyTooLarge),
            _ => None,
        }
    }

    /// Takes off what belongs to the client's connection, and adds what the upstream is told.
    fn prepare_for_upstream(&mut self) {
        let Scratch { request, facts, text, upgrade, .. } = &mut *self.scratch;
        upgrade.clear();
        if let Some(protocol) = request.upgrade() {
            upgrade.extend_from_slice(protocol);
        }
        let has_body = !matches!(request.framing, Framing::None | Framing::Length(0));
        if handshake::is_websocket(upgrade) && (request.method != Method::Get || has_body) {
            // That asks for no WebSocket (RFC 6455, 4.1), and on a stream it could not be both.
            upgrade.clear();
        }
        request.fields.remove_hop_by_hop();
        if !request.expects_continue {
            // Nobody waits for it: an HTTP/1.0 client cannot (RFC 9110, 10.1.1).
            request.fields.remove_known(Known::Expect);
        }
        forwarded::apply(request, facts, self.connection.peer_ip, self.connection.trusted, text);
        self.tell_identity();
    }

    /// Tells the upstream who the client is by its certificate. What a client says of itself there is not passed on,
    /// whichever listener it comes to; a trusted proxy's word is, where we have none of our own to give.
    fn tell_identity(&mut self) {
        let plan = &self.plan;
        if plan.identity_fields().is_empty() {
            return;
        }
        let secure = plan.secure(self.listener);
        let own = secure.as_ref().and_then(|secure| secure.tls.client_auth.as_ref()?.header.as_deref());
        let fields = &mut self.scratch.request.fields;
        for name in plan.identity_fields() {
            if !self.connection.trusted || own == Some(&**name) {
                fields.remove(name);
            }
        }
        let identity = self.connection.secured.as_ref().and_then(|tls| tls.identity.as_deref());
        if let (Some(name), Some(identity)) = (own, identity) {
            // Visible ASCII in a field whose name was checked: it cannot be refused.
            let _ = fields.set(name, identity);
        }
    }
}

/// Why there is no route to go on with.
enum Step {
    Fault(Fault),
    /// `OPTIONS *` asks about the gateway itself.
    Asterisk,
    /// The listener sends its clients to HTTPS.
    RedirectHttps(u16),
}
