//! `[listeners.NAME]` as it is typed.

use super::address;
use super::limits;
use super::reader::{Table, Text, Value};
use super::tls::{self, ListenerTls};
use crate::snapshot::{Address, Limits};

/// A listener, its references still names.
pub(crate) struct Listener<'a> {
    pub(crate) name: &'a str,
    pub(crate) at: usize,
    /// Each with its place.
    pub(crate) bind: Vec<(Address, usize)>,
    pub(crate) redirect_https: Option<Redirect<'a>>,
    /// Where `proxy_protocol = true` stands.
    pub(crate) proxy_protocol: Option<usize>,
    pub(crate) tls: Option<ListenerTls<'a>>,
    pub(crate) http2: bool,
    pub(crate) limits: Limits,
}

/// `redirect_https`.
pub(crate) struct Redirect<'a> {
    pub(crate) at: usize,
    pub(crate) port: u16,
    /// Names of routes.
    pub(crate) except: Vec<Text<'a>>,
}

/// Reads one listener.
pub(crate) fn read<'a>(name: &'a str, value: &Value<'a>, outer: &Limits) -> Option<Listener<'a>> {
    let mut table = value.table("listeners.NAME")?;
    let at = table.at;
    let bind = table.take("bind").map(|value| read_bind(&value));
    if bind.is_none() {
        table.missing("bind", "bind = \"0.0.0.0:8080\"");
    }
    let redirect_https = read_redirect(&mut table);
    let proxy_at = table.peek_at("proxy_protocol");
    let proxy_protocol = table.flag("proxy_protocol", false).then_some(proxy_at).flatten();
    let has_tls = table.peek_at("tls").is_some();
    let tls = tls::read_listener(&mut table);
    let http2 = table.flag("http2", true);
    let limits = limits::narrow_for_listener(&mut table, outer);
    if !has_tls {
        refuse(
            &table,
            "handshake_timeout",
            "is about TLS, which is not spoken here; add `tls`, or remove it",
        );
    }
    for (key, _) in limits.http2.counts().into_iter().filter(|_| !http2) {
        refuse(&table, key, "is about HTTP/2, which `http2 = false` turns off; remove one of them");
    }
    if let Some(redirect) = redirect_https.as_ref().filter(|_| has_tls) {
        value
            .sink
            .error(redirect.at, "what comes here is https already; redirect on a listener without `tls`");
    }
    table.close_section(&super::section_name("listeners", name));
    let bind = bind.unwrap_or_default();
    Some(Listener { name, at, bind, redirect_https, proxy_protocol, tls, http2, limits })
}

/// Refuses a limit that would hold nothing here.
fn refuse(table: &Table<'_>, key: &str, why: &str) {
    if let Some(at) = table.peek_at(key) {
        table.sink.error(at, format!("`{key}` {why}"));
    }
}

fn read_bind(value: &Value<'_>) -> Vec<(Address, usize)> {
    let expected = "an address such as \"0.0.0.0:8080\", or a list of them";
    let items = if value.is_list() { value.list(expected).unwrap_or_default() } else { vec![*value] };
    if items.is_empty() {
        value.sink.error(value.at, "a listener has at least one address; write for example \"0.0.0.0:8080\"");
    }
    let mut bind = Vec::new();
    for item in items {
        let Some(text) = item.text(expected).filter(|text| !text.is_unknown) else { continue };
        match address::parse_bind(&text.value, value.sink.base) {
            Ok(address) => bind.push((address, item.at)),
            Err(message) => value.sink.error(item.at, text.found(&message)),
        }
    }
    bind
}

fn read_redirect<'a>(table: &mut Table<'a>) -> Option<Redirect<'a>> {
    let mut below = table.open("redirect_https", "listeners.NAME.redirect_https")?;
    let at = below.at;
    let port = below.number("port", 443, 1..=65_535);
    let except = below.texts("except").unwrap_or_default();
    table.close("redirect_https", below);
    Some(Redirect { at, port: u16::try_from(port).unwrap_or(443), except })
}
