//! `[routes.NAME]` as it is typed. What refers to nothing else is checked here already.

use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::limits;
use super::reader::{Table, Text, Value};
use super::sink::{quote, show, show_inline};
use crate::routes::{FieldRule, HostRule, MethodRule, PathRule, QueryRule, RouteRule};
use crate::snapshot::{ClientCertificate, ErrorFormat, GrpcWeb, Limits, Respond, Retry};

const PRIORITY_MAX: i64 = 1_000_000;
const ATTEMPTS_MAX: u64 = 10;
const TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The largest body of a fixed answer.
const RESPOND_BYTES_MAX: usize = 1 << 20;
const TEXT_PLAIN: &str = "text/plain; charset=utf-8";

/// A route, its references still names.
pub(crate) struct Route<'a> {
    pub(crate) name: &'a str,
    pub(crate) at: usize,
    /// Where `match` stands.
    pub(crate) match_at: usize,
    /// Without its listeners; `None` when `match` has an error.
    pub(crate) rule: Option<RouteRule>,
    pub(crate) listeners: Option<Vec<Text<'a>>>,
    pub(crate) terminal: Option<Terminal<'a>>,
    pub(crate) uses: Vec<Text<'a>>,
    pub(crate) timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) retry: Retry,
    pub(crate) rewrite: Rewrite<'a>,
    pub(crate) preserve_host: bool,
    pub(crate) grpc_web: GrpcWeb,
    /// `request` and `response`, in the form of a `headers` filter.
    pub(crate) headers: Option<Headers<'a>>,
    pub(crate) errors: ErrorFormat,
    pub(crate) access_log: bool,
    pub(crate) reason_header: bool,
    /// With its place, unless it is as the listener has it.
    pub(crate) client_certificate: Option<(ClientCertificate, usize)>,
}

/// `request` and `response`.
pub(crate) struct Headers<'a> {
    /// The table that a `headers` filter reads.
    pub(crate) value: Spanned<DeValue<'a>>,
    /// What may be shown of it, where that is not the same.
    pub(crate) shown: Option<String>,
}

/// What answers.
pub(crate) enum Terminal<'a> {
    Upstream(Text<'a>),
    Static { root: Text<'a>, index: String },
    Respond(Respond),
}

/// `strip_prefix` and `rewrite`.
pub(crate) enum Rewrite<'a> {
    Keep,
    StripPrefix { at: usize },
    Regex { regex: Text<'a>, to: Text<'a> },
    Template { to: Text<'a> },
}

/// Reads one route.
pub(crate) fn read<'a>(name: &'a str, value: &Value<'a>, outer: &Limits) -> Option<Route<'a>> {
    let mut table = value.table("routes.NAME")?;
    let at = table.at;
    let match_at = table.peek_at("match").unwrap_or(at);
    let errors_before = value.sink.error_count();
    let rule = RouteRule { priority: read_priority(&mut table), ..read_match(&mut table) };
    let rule = (value.sink.error_count() == errors_before).then_some(rule);
    let listeners = read_names(&mut table, "listeners");
    let terminal = read_terminal(&mut table);
    let uses = read_names(&mut table, "use").unwrap_or_default();
    let limits = limits::narrow_for_route(&mut table, outer);
    let is_proxied = matches!(terminal, None | Some(Terminal::Upstream(_)));
    let mut route = Route {
        name,
        at,
        match_at,
        rule,
        listeners,
        terminal,
        uses,
        timeout: TIMEOUT,
        limits,
        retry: Retry { attempts: 2, on: Vec::new() },
        rewrite: Rewrite::Keep,
        preserve_host: true,
        grpc_web: GrpcWeb::Pass,
        headers: read_headers(&mut table),
        errors: ErrorFormat::Json,
        access_log: true,
        reason_header: false,
        client_certificate: None,
    };
    if is_proxied {
        read_upstream_side(&mut table, &mut route);
    } else {
        refuse_upstream_side(&mut table);
    }
    let forms = [("json", ErrorFormat::Json), ("text", ErrorFormat::Text), ("problem", ErrorFormat::Problem)];
    route.errors = table.word("errors", &forms, ErrorFormat::Json);
    route.access_log = table.flag("access_log", true);
    route.reason_header = table.flag("reason_header", false);
    route.client_certificate = table
        .take("client_certificate")
        .and_then(|value| Some((value.word(&[("required", ClientCertificate::Required)])?, value.at)));
    table.close_section(&super::section_name("routes", name));
    Some(route)
}

fn read_priority(table: &mut Table<'_>) -> i64 {
    let Some(value) = table.take("priority") else {
        table.show("priority", || "0".to_owned());
        return 0;
    };
    value.signed(-PRIORITY_MAX..=PRIORITY_MAX).unwrap_or(0)
}

/// Reads `match`.
fn read_match(table: &mut Table<'_>) -> RouteRule {
    const EXAMPLE: &str = "match = { prefix = \"/\" }";
    let mut rule = RouteRule::default();
    let Some(value) = table.take("match") else {
        table.missing("match", EXAMPLE);
        return rule;
    };
    let Some(mut below) = value.table("routes.NAME.match") else { return rule };
    if below.is_empty() {
        below.sink.error(value.at, format!("a route matches something; for every request write `{EXAMPLE}`"));
    }
    rule.hosts = read_rules(&mut below, "hosts", HostRule::parse);
    rule.path = read_path(&mut below);
    rule.methods = read_rules(&mut below, "methods", MethodRule::new);
    rule.headers = read_pairs(&mut below, "headers", "routes.NAME.match.headers", FieldRule::new);
    rule.query = read_pairs(&mut below, "query", "routes.NAME.match.query", QueryRule::new);
    table.close("match", below);
    rule
}

fn read_path(table: &mut Table<'_>) -> PathRule {
    let mut rule = PathRule::Any;
    let mut first: Option<&str> = None;
    for key in ["path", "prefix", "pattern", "regex"] {
        let Some(value) = table.take(key) else { continue };
        if let Some(first) = first {
            value
                .sink
                .error(value.key_at, format!("a route has one of `{first}` and `{key}`; remove one of them"));
        }
        first = first.or(Some(key));
        let Some(text) = value.text("a string").filter(|text| !text.is_unknown) else { continue };
        let read = match key {
            "path" => PathRule::exact(&text.value),
            "prefix" => PathRule::prefix(&text.value),
            "pattern" => PathRule::pattern(&text.value),
            _ => PathRule::regex(&text.value),
        };
        match read {
            Ok(path) => rule = path,
            Err(message) => value.sink.error(value.at, text.hide(&message)),
        }
    }
    rule
}

fn read_rules<T>(
    table: &mut Table<'_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let Some(value) = table.take(key) else { return Vec::new() };
    let Some(items) = value.list("a list of strings") else { return Vec::new() };
    if items.is_empty() {
        value.sink.error(value.at, format!("an empty list never matches; for any, leave `{key}` out"));
    }
    let mut rules = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = item.text("a string").filter(|text| !text.is_unknown) else { continue };
        match parse(&text.value) {
            Ok(rule) => rules.push(rule),
            Err(message) => item.sink.error(item.at, text.hide(&message)),
        }
    }
    rules
}

fn read_pairs<T>(
    table: &mut Table<'_>,
    key: &'static str,
    schema: &'static str,
    parse: impl Fn(&str, &str) -> Result<T, String>,
) -> Vec<T> {
    let Some(value) = table.take(key) else { return Vec::new() };
    let Some(below) = value.table(schema) else { return Vec::new() };
    let entries = below.named();
    if entries.is_empty() {
        value.sink.error(value.at, format!("an empty table asks for nothing; leave `{key}` out"));
    }
    let mut rules = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let Some(text) = value.text("a string").filter(|text| !text.is_unknown) else { continue };
        match parse(name, &text.value) {
            Ok(rule) => rules.push(rule),
            Err(message) => value.sink.error(value.key_at, text.hide(&message)),
        }
    }
    rules
}

/// A list of names, each once.
fn read_names<'a>(table: &mut Table<'a>, key: &'static str) -> Option<Vec<Text<'a>>> {
    let Some(names) = table.texts(key) else {
        // Without listeners, a route is on all of them: there is no list to show.
        if key == "use" {
            table.show(key, || "[]".to_owned());
        }
        return None;
    };
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|other| other.value == name.value) {
            table.sink.error(name.at, format!("{} is there twice; remove one", quote(name.typed)));
        }
    }
    Some(names)
}

fn read_terminal<'a>(table: &mut Table<'a>) -> Option<Terminal<'a>> {
    let mut found = None;
    let mut first: Option<&str> = None;
    for key in ["upstream", "static", "respond"] {
        let Some(value) = table.take(key) else { continue };
        if let Some(first) = first {
            let message =
                format!("a route has one of `upstream`, `static` and `respond`; remove this or `{first}`");
            value.sink.error(value.key_at, message);
        }
        first = first.or(Some(key));
        let terminal = match key {
            "upstream" => value.text("the name of an upstream").map(Terminal::Upstream),
            "static" => read_static(table, &value),
            _ => read_respond(table, &value).map(Terminal::Respond),
        };
        found = found.or(terminal);
    }
    if first.is_none() {
        let message = "nothing answers here; write `upstream = \"NAME\"`, `static = { root = \"PATH\" }` or \
                       `respond = { status = 200 }`";
        table.sink.error(table.at, message);
    }
    found
}

fn read_static<'a>(table: &mut Table<'a>, value: &Value<'a>) -> Option<Terminal<'a>> {
    let mut below = value.table("routes.NAME.static")?;
    let root = below.text("root");
    if root.is_none() && below.peek_at("root").is_none() {
        below.missing("root", "root = \"/var/www\"");
    }
    let index = match below.take("index") {
        None => {
            below.show("index", || quote("index.html"));
            "index.html".to_owned()
        }
        Some(value) => {
            let text = value.text("a file's name")?;
            if text.value.is_empty() || text.value.contains(['/', '\0']) || text.value.starts_with('.') {
                value.sink.error(
                    value.at,
                    text.found("expected a file's name without `/`, such as \"index.html\""),
                );
            }
            text.value.into_owned()
        }
    };
    table.close("static", below);
    Some(Terminal::Static { root: root?, index })
}

fn read_respond<'a>(table: &mut Table<'a>, value: &Value<'a>) -> Option<Respond> {
    if !value.is_table() {
        return value.word_or(
            "a table such as { status = 200, body = \"...\" }",
            &[("health", Respond::Health), ("ready", Respond::Ready)],
        );
    }
    let mut below = value.table("routes.NAME.respond")?;
    let status = below.number("status", 200, 200..=599);
    let body = below.take("body").and_then(|value| {
        let text = value.text("a string")?;
        if text.value.len() > RESPOND_BYTES_MAX {
            value.sink.error(value.at, "a fixed body is at most 1MB; serve a larger one with `static`");
        }
        Some(text.value.into_owned())
    });
    let content_type = match below.take("content_type") {
        None => {
            below.show("content_type", || quote(TEXT_PLAIN));
            TEXT_PLAIN.to_owned()
        }
        Some(value) => {
            let text = value.text("a media type such as \"text/plain\"")?;
            let is_text = text.value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if !is_text || !text.value.contains('/') {
                value.sink.error(value.at, text.found("expected a media type such as \"text/plain\""));
            }
            text.value.into_owned()
        }
    };
    if body.is_none() {
        below.show("body", || quote(""));
    } else if matches!(status, 204 | 205 | 304) {
        below.sink.error(below.at, format!("an answer with status {status} has no body; remove `body`"));
    }
    table.close("respond", below);
    let body = Arc::from(body.unwrap_or_default().into_bytes());
    Some(Respond::Fixed { status: u16::try_from(status).ok()?, body, content_type: Arc::from(content_type) })
}

/// What only a route with an upstream has.
fn read_upstream_side<'a>(table: &mut Table<'a>, route: &mut Route<'a>) {
    route.timeout = table.duration("timeout", TIMEOUT, Duration::from_millis(1)..=TIMEOUT_MAX);
    route.retry = read_retry(table);
    let strip = table.peek_at("strip_prefix");
    let strips = table.flag("strip_prefix", false);
    if let (true, Some(at)) = (strips, strip) {
        route.rewrite = Rewrite::StripPrefix { at };
    }
    if let Some(rewrite) = read_rewrite(table) {
        if strips {
            table.sink.error(
                strip.unwrap_or(table.at),
                "a route has one of `strip_prefix` and `rewrite`; remove one",
            );
        }
        route.rewrite = rewrite;
    }
    route.preserve_host = table.flag("preserve_host", true);
    if table.flag("grpc_web", false) {
        route.grpc_web = GrpcWeb::Translate;
    }
    limits::narrow_for_upstream(table, &mut route.limits);
}

fn refuse_upstream_side(table: &mut Table<'_>) {
    let keys = [
        "timeout",
        "retry",
        "strip_prefix",
        "rewrite",
        "preserve_host",
        "grpc_web",
        "tunnel_timeout",
        "tunnel_age",
        "min_rate",
    ];
    for key in keys {
        if let Some(value) = table.take(key) {
            let message = format!("`{key}` is about the upstream, and this route has none; remove it");
            value.sink.error(value.key_at, message);
        }
    }
}

fn read_retry(table: &mut Table<'_>) -> Retry {
    let Some(mut below) = table.open("retry", "routes.NAME.retry") else {
        if table.peek_at("retry").is_none() {
            table.show("retry", || "{ attempts = 2, on = [] }".to_owned());
        }
        return Retry { attempts: 2, on: Vec::new() };
    };
    let attempts = below.number("attempts", 2, 1..=ATTEMPTS_MAX);
    let on_at = below.peek_at("on");
    let on = below.take("on").and_then(|value| value.list("a list of statuses such as [502, 503, 504]"));
    if on.is_none() {
        below.show("on", || "[]".to_owned());
    }
    let on = super::statuses(&on.unwrap_or_default(), 400..=599);
    if attempts == 1 && !on.is_empty() {
        let message =
            "with one attempt nothing is tried again; `attempts` include the first, so write 2 or more";
        below.sink.error(on_at.unwrap_or(below.at), message);
    }
    table.close("retry", below);
    Retry { attempts: u32::try_from(attempts).unwrap_or(1), on }
}

fn read_rewrite<'a>(table: &mut Table<'a>) -> Option<Rewrite<'a>> {
    let mut below = table.open("rewrite", "routes.NAME.rewrite")?;
    let has_regex = below.peek_at("regex").is_some();
    let regex = below.text("regex");
    let to = below.text("to");
    if below.peek_at("to").is_none() {
        below.missing("to", "to = \"/users\"");
    }
    table.close("rewrite", below);
    match (regex, to) {
        (Some(regex), Some(to)) => Some(Rewrite::Regex { regex, to }),
        (None, Some(to)) if !has_regex => Some(Rewrite::Template { to }),
        _ => None,
    }
}

/// `request` and `response`, as the table of a `headers` filter. Their spans stay those of the file.
fn read_headers<'a>(table: &mut Table<'a>) -> Option<Headers<'a>> {
    let mut both = DeTable::new();
    let mut span = 0..0;
    let mut found = Vec::new();
    for key in ["request", "response"] {
        let Some(value) = table.take(key) else { continue };
        span = value.at..value.at;
        value.warn_of_secrets();
        found.push((key, value));
        both.insert(
            Spanned::new(value.key_at..value.key_at, DeString::Borrowed(key)),
            value.spanned(super::escape_variables),
        );
    }
    let hides = found.iter().any(|(_, value)| value.shown_instead().is_some());
    let shown = hides.then(|| {
        let entries: Vec<(String, String)> =
            found.iter().map(|(key, value)| ((*key).to_owned(), show(value.raw()))).collect();
        show_inline(&entries)
    });
    (!both.is_empty()).then(|| Headers { value: Spanned::new(span, DeValue::Table(both)), shown })
}
