//! What is typed: the sections of a file, each read key by key, with names that are not looked up yet.

pub(crate) mod address;
mod health;
pub(crate) mod limits;
pub(crate) mod listeners;
pub(crate) mod reader;
pub(crate) mod routes;
pub(crate) mod sink;
pub(crate) mod tls;
pub(crate) mod upstreams;
pub(crate) mod values;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use self::reader::{Table, Value};
use self::sink::{Sink, quote, quote_key};
use crate::snapshot::{AccessSink, Driver, Level, Limits, Log, LogFormat, Server, Workers};

/// The most workers, and the highest number of a CPU.
const WORKERS_MAX: u64 = 1_024;
const CPU_MAX: u64 = 4_095;
const CONNECTIONS_MAX: u64 = 10_000_000;
/// The longest name of a listener, route, upstream or filter.
const NAME_BYTES_MAX: usize = 100;

/// A file, read.
pub(crate) struct File<'a> {
    pub(crate) server: Server,
    pub(crate) log: Log,
    /// With its place.
    pub(crate) metrics: Option<(SocketAddr, usize)>,
    /// With its place.
    pub(crate) admin: Option<(SocketAddr, usize)>,
    pub(crate) listeners: Vec<listeners::Listener<'a>>,
    pub(crate) routes: Vec<routes::Route<'a>>,
    pub(crate) upstreams: Vec<upstreams::Upstream<'a>>,
    pub(crate) filters: Vec<Filter<'a>>,
}

/// `[filters.NAME]`: one kind, whose configuration the registry reads.
pub(crate) struct Filter<'a> {
    pub(crate) name: &'a str,
    pub(crate) at: usize,
    pub(crate) kind: &'a str,
    pub(crate) config: Value<'a>,
}

/// Reads a whole file. What is wrong is left in the sink.
pub(crate) fn read<'a>(sink: &'a Sink<'a>, document: &'a DeTable<'a>) -> File<'a> {
    let mut root = Table::new(sink, document, 0, "");
    let server = read_server(&mut root);
    let limits = read_limits(&mut root);
    let log = read_log(&mut root);
    let metrics = read_bind(&mut root, "metrics", "127.0.0.1:9090");
    let admin = read_bind(&mut root, "admin", "127.0.0.1:8001");
    let listeners = each(&mut root, "listeners", |name, value| listeners::read(name, value, &limits));
    let routes = each(&mut root, "routes", |name, value| routes::read(name, value, &limits));
    let upstreams = each(&mut root, "upstreams", upstreams::read);
    let filters = each(&mut root, "filters", read_filter);
    root.finish();
    File { server, log, metrics, admin, listeners, routes, upstreams, filters }
}

/// The header of a section, such as `routes.api`.
pub(crate) fn section_name(table: &str, name: &str) -> String {
    format!("{table}.{}", quote_key(name))
}

/// A text as a value with `$variables` has to say it.
pub(crate) fn escape_variables(text: String) -> String {
    if text.contains('$') { text.replace('$', "$$") } else { text }
}

/// Statuses within bounds; each once, sorted.
pub(crate) fn statuses(items: &[Value<'_>], bounds: RangeInclusive<u64>) -> Vec<u16> {
    let status = |item: &Value<'_>| u16::try_from(item.number(bounds.clone())?).ok();
    let mut statuses: Vec<u16> = items.iter().filter_map(status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// Reads each table of a section whose keys are names.
fn each<'a, T>(
    root: &mut Table<'a>,
    key: &'static str,
    read: impl Fn(&'a str, &Value<'a>) -> Option<T>,
) -> Vec<T> {
    let Some(section) = root.open(key, key) else { return Vec::new() };
    let entries = section.named();
    let mut found = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        check_name(name, &value);
        found.extend(read(name, &value));
    }
    found
}

/// Names stand in logs, metrics and URLs of the admin API.
fn check_name(name: &str, value: &Value<'_>) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        let message =
            format!("expected a name of letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} bytes");
        value.sink.error(value.key_at, message);
    }
}

fn read_server(root: &mut Table<'_>) -> Server {
    let mut table = section(root, "server");
    let workers = read_workers(&mut table);
    let drain_timeout = table.duration(
        "drain_timeout",
        Duration::from_secs(30),
        Duration::ZERO..=Duration::from_secs(24 * 3_600),
    );
    let drain_delay =
        table.duration("drain_delay", Duration::ZERO, Duration::ZERO..=Duration::from_secs(3_600));
    let drivers = [("io_uring", Driver::IoUring), ("auto", Driver::Auto), ("epoll", Driver::Epoll)];
    let driver = table.word("driver", &drivers, Driver::IoUring);
    let max_connections = table.number("max_connections", 100_000, 1..=CONNECTIONS_MAX);
    let trusted_proxies = read_networks(&mut table);
    let share_addresses = table.flag("share_addresses", false);
    let state_dir = read_state_dir(&mut table);
    table.close_section("server");
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    Server {
        workers,
        drain_timeout,
        drain_delay,
        driver,
        max_connections,
        trusted_proxies,
        share_addresses,
        state_dir,
    }
}

fn read_state_dir(table: &mut Table<'_>) -> Option<PathBuf> {
    let Some(value) = table.take("state_dir") else {
        // systemd separates several by a colon (systemd.exec, StateDirectory).
        let given = (table.sink.environment)("STATE_DIRECTORY")?;
        let first = given.split(':').next().filter(|first| first.starts_with('/'))?;
        return Some(PathBuf::from(first));
    };
    let text = value.text("the path of a folder").filter(|text| !text.is_unknown)?;
    let path = table.sink.base.join(&*text.value);
    if text.value.is_empty() || !path.is_dir() {
        value.sink.error(value.at, text.found("expected a folder; make it first"));
    }
    Some(path)
}

fn read_workers(table: &mut Table<'_>) -> Workers {
    let Some(value) = table.take("workers") else {
        table.show("workers", || "0".to_owned());
        return Workers::Auto;
    };
    if !value.is_list() {
        let count = value.number(0..=WORKERS_MAX).and_then(|count| usize::try_from(count).ok());
        return count.filter(|&count| count > 0).map_or(Workers::Auto, Workers::Count);
    }
    let items = value.list("a number or a list of CPUs").unwrap_or_default();
    if items.is_empty() {
        value.sink.error(value.at, "expected at least one CPU; for one worker per CPU write `workers = 0`");
    }
    let mut cpus = Vec::new();
    for item in items {
        let Some(cpu) = item.number(0..=CPU_MAX).and_then(|cpu| usize::try_from(cpu).ok()) else { continue };
        if cpus.contains(&cpu) {
            item.sink.error(item.at, format!("CPU {cpu} is there twice; each has one worker"));
        }
        cpus.push(cpu);
    }
    Workers::Cpus(cpus)
}

fn read_networks(table: &mut Table<'_>) -> Vec<IpNet> {
    let Some(texts) = table.texts("trusted_proxies") else {
        table.show("trusted_proxies", || "[]".to_owned());
        return Vec::new();
    };
    let mut networks = Vec::new();
    for text in texts.iter().filter(|text| !text.is_unknown) {
        if text.value == "unix" {
            // What stands for the address of a client that has none.
            networks.push(IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
            continue;
        }
        let single = || text.value.parse::<IpAddr>().map(IpNet::from).ok();
        if let Some(network) = text.value.parse::<IpNet>().ok().or_else(single) {
            networks.push(network.trunc());
        } else {
            let message =
                "expected a network, an address or \"unix\", such as \"10.0.0.0/8\" or \"10.1.2.3\"";
            table.sink.error(text.at, text.found(message));
        }
    }
    networks
}

fn read_limits(root: &mut Table<'_>) -> Limits {
    let mut table = section(root, "limits");
    let limits = limits::read(&mut table);
    table.close_section("limits");
    limits
}

fn read_log(root: &mut Table<'_>) -> Log {
    let mut table = section(root, "log");
    let levels =
        [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];
    let level = table.word("level", &levels, Level::Info);
    let format =
        table.word("format", &[("json", LogFormat::Json), ("text", LogFormat::Text)], LogFormat::Json);
    let access = match table.take("access") {
        None => {
            table.show("access", || quote("stdout"));
            AccessSink::Stdout
        }
        Some(value) => match value.text("\"stdout\", \"off\" or a file path") {
            Some(text) if text.value == "off" => AccessSink::Off,
            Some(text) if text.value.is_empty() => {
                value.wrong::<()>("\"stdout\", \"off\" or a file path");
                AccessSink::Off
            }
            Some(text) if text.value != "stdout" => AccessSink::File(value.sink.base.join(&*text.value)),
            Some(_) | None => AccessSink::Stdout,
        },
    };
    table.close_section("log");
    Log { level, format, access }
}

/// A section with a single address; absent, it is off.
fn read_bind(root: &mut Table<'_>, key: &'static str, default: &'static str) -> Option<(SocketAddr, usize)> {
    let mut table = root.open(key, key)?;
    let at = table.at;
    let bind = match table.take("bind") {
        None => {
            table.show("bind", || quote(default));
            default.parse().ok().map(|address| (address, at))
        }
        Some(value) => {
            let text = value.text("an address such as \"127.0.0.1:9090\"").filter(|text| !text.is_unknown);
            text.and_then(|text| match address::parse_socket(&text.value) {
                Ok(address) => Some((address, value.at)),
                Err(message) => {
                    value.sink.error(value.at, text.found(&message));
                    None
                }
            })
        }
    };
    table.close_section(key);
    bind
}

fn read_filter<'a>(name: &'a str, value: &Value<'a>) -> Option<Filter<'a>> {
    let table = value.table("filters.NAME")?;
    let mut entries = table.named().into_iter();
    match (entries.next(), entries.next()) {
        (Some((kind, config)), None) => {
            if config.is_table() {
                let directions = config.table("filters.NAME.headers")?.named();
                for (_, direction) in directions {
                    direction.warn_of_secrets();
                }
            }
            if value.sink.recording {
                let lines = [(quote_key(kind), sink::show(config.raw()))];
                value.sink.section(&section_name("filters", name), &lines);
            }
            Some(Filter { name, at: value.key_at, kind, config })
        }
        (None, _) => {
            let message = "a filter has one kind; write for example \
                           `headers = { request = { remove = [\"X-Debug\"] } }`";
            value.sink.error(value.key_at, message);
            None
        }
        (Some(_), Some((kind, extra))) => {
            let message =
                format!("a filter has one kind; give `{kind}` a filter of its own and list both in `use`");
            value.sink.error(extra.key_at, message);
            None
        }
    }
}

/// A section of fixed keys, with its defaults when it is absent.
fn section<'a>(root: &mut Table<'a>, key: &'static str) -> Table<'a> {
    root.open(key, key).unwrap_or_else(|| Table::absent(root.sink, 0, key))
}
