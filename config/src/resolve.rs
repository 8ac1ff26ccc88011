//! From what is typed to what holds: every name is looked up, what concerns several sections is checked,
//! and the snapshot is put together.

mod check;
mod index;

use std::collections::HashMap;
use std::sync::Arc;

use ringway_filters::registry::{self, FilterConfig};

use crate::file::sink::Sink;
use crate::file::{self, File, listeners, routes, upstreams};
use crate::load::Names;
use crate::rewrite::Rewrite;
use crate::routes::{PathRule, RouteRule, Routes};
use crate::snapshot::{
    Endpoint, Epoch, Listener, ListenerId, RedirectHttps, Respond, Route, Snapshot, Source, StaticFiles,
    Terminal, Upstream, UpstreamId,
};
use crate::tls::load::Loader;
use crate::tls::{ListenerTls, UpstreamTls};
use index::Index;

/// Puts the snapshot together, or leaves in the sink what stands in the way.
pub(crate) fn resolve(
    sink: &Sink<'_>,
    file: File<'_>,
    names: &mut Names,
    source: Source,
    now: u64,
) -> Option<Snapshot> {
    check::check(sink, &file);
    let loader = Loader::new(sink, now);
    let listeners: Vec<_> =
        file.listeners.iter().map(|typed| typed.tls.as_ref().map(|tls| loader.listener(tls))).collect();
    let upstreams: Vec<_> = file
        .upstreams
        .iter()
        .map(|typed| typed.tls.as_ref().map(|tls| loader.upstream(tls, typed.protocol)))
        .collect();
    let references = References::new(sink, &file);
    let routes = references.build_routes(file.routes, &file.listeners, names);
    references.upstreams.warn_of_unused(sink, "remove it, or name it in a route's `upstream`");
    references.filters.warn_of_unused(sink, "remove it, or list it in a route's `use`");
    if sink.has_errors() {
        return None;
    }
    Some(Snapshot {
        epoch: Epoch::default(),
        server: file.server,
        log: file.log,
        metrics: file.metrics.map(|(address, _)| address),
        admin: file.admin.map(|(address, _)| address),
        listeners: file
            .listeners
            .into_iter()
            .zip(listeners)
            .map(|(typed, tls)| listener(typed, tls.flatten().map(Arc::new)))
            .collect(),
        upstreams: file
            .upstreams
            .into_iter()
            .zip(upstreams)
            .map(|(typed, tls)| upstream(typed, tls.flatten().map(Arc::new), names))
            .collect(),
        routes,
        source,
        files: loader.into_files(),
    })
}

/// What names refer to.
struct References<'a> {
    sink: &'a Sink<'a>,
    listeners: Index<'a>,
    upstreams: Index<'a>,
    routes: Index<'a>,
    filters: Index<'a>,
    /// By the filter's number; `None` where it is not valid.
    configs: Vec<Option<Arc<FilterConfig>>>,
}

impl<'a> References<'a> {
    fn new(sink: &'a Sink<'a>, file: &File<'a>) -> Self {
        Self {
            sink,
            listeners: Index::new(
                "listener",
                file.listeners.iter().map(|listener| (listener.name, listener.at)),
            ),
            upstreams: Index::new(
                "upstream",
                file.upstreams.iter().map(|upstream| (upstream.name, upstream.at)),
            ),
            routes: Index::new("route", file.routes.iter().map(|route| (route.name, route.at))),
            filters: Index::new("filter", file.filters.iter().map(|filter| (filter.name, filter.at))),
            configs: file.filters.iter().map(|filter| parse_filter(sink, filter)).collect(),
        }
    }

    fn build_routes(
        &self,
        typed: Vec<routes::Route<'a>>,
        listeners: &[listeners::Listener<'a>],
        names: &mut Names,
    ) -> Routes {
        let mut in_clear = self.served_in_clear(listeners);
        let mut rules = Vec::with_capacity(typed.len());
        let mut routes = Vec::with_capacity(typed.len());
        let mut places = Vec::with_capacity(typed.len());
        for (number, mut typed) in typed.into_iter().enumerate() {
            let rule_listeners = self.listeners_of(&typed);
            self.check_certificate(&typed, &rule_listeners, listeners);
            let served_in_clear = in_clear.remove(&number).unwrap_or_default();
            let mut route = self.route(&typed, served_in_clear, names);
            if let Some(before) = routes.last().filter(|before: &&Route| before.limits == route.limits) {
                route.limits = Arc::clone(&before.limits);
            }
            // A `match` that was not understood would only conflict by mistake.
            if let Some(rule) = typed.rule.take() {
                places.push(typed.match_at);
                rules.push(RouteRule { listeners: rule_listeners, ..rule });
                routes.push(route);
            }
        }
        Routes::build(rules, routes, listeners.len()).unwrap_or_else(|conflicts| {
            for conflict in conflicts {
                let at = places.get(conflict.route.0 as usize).copied().unwrap_or(0);
                self.sink.error(at, conflict.to_string());
            }
            Routes::default()
        })
    }

    fn route(&self, typed: &routes::Route<'a>, served_in_clear: Vec<ListenerId>, names: &mut Names) -> Route {
        let name: Arc<str> = Arc::from(typed.name);
        let filters = self.filters_of(typed);
        let rewrite = self.rewrite(typed);
        let terminal = self.terminal(typed);
        // A refused file gives out no numbers.
        let metric = if self.sink.has_errors() { 0 } else { names.id(&name) };
        Route {
            name,
            metric,
            terminal,
            timeout: typed.timeout,
            limits: Arc::new(typed.limits),
            retry: typed.retry.clone(),
            rewrite,
            preserve_host: typed.preserve_host,
            grpc_web: typed.grpc_web,
            filters,
            errors: typed.errors,
            access_log: typed.access_log,
            reason_header: typed.reason_header,
            client_certificate: typed.client_certificate.map(|(demand, _)| demand).unwrap_or_default(),
            served_in_clear,
        }
    }

    /// By the route's number: the listeners whose `redirect_https` excepts it.
    fn served_in_clear(&self, listeners: &[listeners::Listener<'_>]) -> HashMap<usize, Vec<ListenerId>> {
        let mut in_clear: HashMap<usize, Vec<ListenerId>> = HashMap::new();
        for (number, listener) in listeners.iter().enumerate() {
            for name in listener.redirect_https.iter().flat_map(|redirect| &redirect.except) {
                if let Some(route) = self.routes.find(self.sink, name) {
                    in_clear.entry(route).or_default().push(ListenerId(to_u32(number)));
                }
            }
        }
        in_clear
    }

    /// Empty for all.
    fn listeners_of(&self, typed: &routes::Route<'_>) -> Vec<ListenerId> {
        let find = |name| self.listeners.find(self.sink, name).map(|number| ListenerId(to_u32(number)));
        typed.listeners.iter().flatten().filter_map(find).collect()
    }

    /// A demand that no listener of the route can meet would refuse every request.
    fn check_certificate(
        &self,
        typed: &routes::Route<'_>,
        own: &[ListenerId],
        listeners: &[listeners::Listener<'_>],
    ) {
        let Some((_, at)) = typed.client_certificate else { return };
        let asks = |listener: &listeners::Listener<'_>| {
            listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some())
        };
        let is_met = (0u32..).zip(listeners).any(|(number, listener)| {
            (own.is_empty() || own.contains(&ListenerId(number))) && asks(listener)
        });
        if !is_met {
            let message = "no listener of this route asks for certificates; add `client_auth = { ca = \"ca.pem\" }` \
                           to the `tls` of one";
            self.sink.error(at, message);
        }
    }

    fn filters_of(&self, typed: &routes::Route<'_>) -> Vec<Arc<FilterConfig>> {
        let mut filters = Vec::with_capacity(typed.uses.len() + 1);
        for name in &typed.uses {
            let number = self.filters.find(self.sink, name);
            let config = number.and_then(|number| self.configs.get(number)?.as_ref());
            if let Some(config) = config {
                self.check_params(typed, config, name.at);
                filters.push(Arc::clone(config));
            }
        }
        if let Some(headers) = &typed.headers {
            match registry::parse(format!("route:{}", typed.name), "headers", &headers.value) {
                Ok(config) => {
                    self.check_params(typed, &config, headers.value.span().start);
                    filters.push(Arc::new(described(config, headers.shown.clone())));
                }
                Err(errors) => {
                    for error in errors {
                        self.sink.error_elsewhere(error.span.start, error.message);
                    }
                }
            }
        }
        filters
    }

    /// A filter may only name parameters that the route has.
    fn check_params(&self, typed: &routes::Route<'_>, config: &FilterConfig, at: usize) {
        let Some(rule) = &typed.rule else { return };
        for wanted in config.params() {
            let has = matches!(&rule.path, PathRule::Pattern(p) if p.names().any(|name| name == wanted));
            if !has {
                let message = format!(
                    "the headers name the parameter `{wanted}`, which this route does not have; add it with \
                     `match = {{ pattern = \"/.../{{{wanted}}}\" }}`"
                );
                self.sink.error(at, message);
            }
        }
    }

    fn rewrite(&self, typed: &routes::Route<'_>) -> Rewrite {
        let Some(RouteRule { path: rule, .. }) = &typed.rule else { return Rewrite::Keep };
        let (made, at) = match &typed.rewrite {
            routes::Rewrite::Keep => return Rewrite::Keep,
            routes::Rewrite::StripPrefix { at } => (Rewrite::strip_prefix(rule), *at),
            routes::Rewrite::Regex { regex, to } if regex.is_unknown || to.is_unknown => {
                return Rewrite::Keep;
            }
            routes::Rewrite::Regex { regex, to } => (
                Rewrite::regex(&regex.value, &to.value).map_err(|message| to.hide(&regex.hide(&message))),
                regex.at,
            ),
            routes::Rewrite::Template { to } if to.is_unknown => return Rewrite::Keep,
            routes::Rewrite::Template { to } => {
                (Rewrite::template(&to.value, rule).map_err(|message| to.hide(&message)), to.at)
            }
        };
        made.unwrap_or_else(|message| {
            self.sink.error(at, message);
            Rewrite::Keep
        })
    }

    /// The stand-ins are never seen: there is an error wherever there is one.
    fn terminal(&self, typed: &routes::Route<'_>) -> Terminal {
        match &typed.terminal {
            Some(routes::Terminal::Upstream(name)) => {
                let number = self.upstreams.find(self.sink, name);
                Terminal::Proxy(UpstreamId(number.map_or(u32::MAX, to_u32)))
            }
            Some(routes::Terminal::Static { root, index }) => {
                let path = self.sink.base.join(&*root.value);
                if !root.is_unknown && !path.is_dir() {
                    self.sink
                        .warn(root.at, root.found("there is no such folder now, so every request gets 404"));
                }
                let prefix = match &typed.rule {
                    Some(RouteRule { path: PathRule::Prefix(prefix), .. }) => prefix.clone(),
                    Some(_) | None => String::new(),
                };
                Terminal::Static(StaticFiles { root: path, index: index.clone(), prefix })
            }
            Some(routes::Terminal::Respond(respond)) => Terminal::Respond(respond.clone()),
            None => Terminal::Respond(Respond::Ready),
        }
    }
}

fn parse_filter(sink: &Sink<'_>, filter: &file::Filter<'_>) -> Option<Arc<FilterConfig>> {
    // Every kind so far has `$variables` in its values.
    let value = filter.config.spanned(file::escape_variables);
    match registry::parse(filter.name, filter.kind, &value) {
        Ok(config) => Some(Arc::new(described(config, filter.config.shown_instead()))),
        Err(errors) => {
            for error in errors {
                // What concerns the whole value, such as an unknown kind, is shown at its key.
                let is_whole = error.key.is_empty() && error.span == value.span();
                sink.error_elsewhere(
                    if is_whole { filter.config.key_at } else { error.span.start },
                    error.message,
                );
            }
            None
        }
    }
}

fn described(config: FilterConfig, shown: Option<String>) -> FilterConfig {
    match shown {
        Some(shown) => config.described_as(shown),
        None => config,
    }
}

fn listener(typed: listeners::Listener<'_>, tls: Option<Arc<ListenerTls>>) -> Listener {
    Listener {
        name: Arc::from(typed.name),
        bind: typed.bind.into_iter().map(|(address, _)| address).collect(),
        redirect_https: typed.redirect_https.map(|redirect| RedirectHttps { port: redirect.port }),
        proxy_protocol: typed.proxy_protocol.is_some(),
        tls,
        http2: typed.http2,
        limits: typed.limits,
    }
}

fn upstream(typed: upstreams::Upstream<'_>, tls: Option<Arc<UpstreamTls>>, names: &mut Names) -> Upstream {
    let name: Arc<str> = Arc::from(typed.name);
    let endpoints = typed.endpoints.into_iter().map(|endpoint| Endpoint {
        metric: names.id(&format!("{name} {}", endpoint.text)),
        text: endpoint.text,
        address: endpoint.address,
        weight: endpoint.weight,
    });
    Upstream {
        endpoints: endpoints.collect(),
        metric: names.id(&name),
        name,
        keepalive: usize::try_from(typed.keepalive).unwrap_or(usize::MAX),
        keepalive_timeout: typed.keepalive_timeout,
        connect_timeout: typed.connect_timeout,
        health: typed.health,
        base_path: Arc::from(typed.base_path),
        tls,
        protocol: typed.protocol,
        streams_max: typed.streams_max,
    }
}

/// Every number of a file is far below it.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
