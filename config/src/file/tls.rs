//! `tls` of a listener and of an upstream as they are typed: paths that are not read yet.

use super::reader::{Table, Text, Value};
use crate::tls::{ClientAuthMode, TlsVersion};

/// The most certificates of one listener.
const CERTIFICATES_MAX: usize = 10_000;
/// The most files of authorities, and of revocation lists, in one place.
const FILES_MAX: usize = 100;

/// `[listeners.NAME.tls]`.
pub(crate) struct ListenerTls<'a> {
    pub(crate) at: usize,
    /// At least one, unless there is an error.
    pub(crate) certificates: Vec<Pair<'a>>,
    pub(crate) min_version: TlsVersion,
    pub(crate) strict_sni: bool,
    pub(crate) client_auth: Option<ClientAuth<'a>>,
}

/// A certificate and its key.
pub(crate) struct Pair<'a> {
    pub(crate) cert: Text<'a>,
    pub(crate) key: Text<'a>,
}

/// `client_auth`.
pub(crate) struct ClientAuth<'a> {
    pub(crate) at: usize,
    /// At least one, unless there is an error.
    pub(crate) ca: Vec<Text<'a>>,
    pub(crate) crl: Vec<Text<'a>>,
    pub(crate) mode: ClientAuthMode,
    pub(crate) header: Option<Text<'a>>,
}

/// `[upstreams.NAME.tls]`.
pub(crate) struct UpstreamTls<'a> {
    pub(crate) at: usize,
    pub(crate) server_name: Option<Text<'a>>,
    /// Empty for those of the system.
    pub(crate) ca: Vec<Text<'a>>,
    pub(crate) identity: Option<Pair<'a>>,
    pub(crate) verify: bool,
}

/// Reads what a listener speaks TLS with.
pub(crate) fn read_listener<'a>(table: &mut Table<'a>) -> Option<ListenerTls<'a>> {
    const EXAMPLE: &str = "tls = { cert = \"certs/api.crt\", key = \"certs/api.key\" }";
    let mut below = table.open("tls", "listeners.NAME.tls")?;
    let at = below.at;
    let has_pair = has_pair(&below);
    let certs = below.take("certs");
    let mut certificates = Vec::new();
    certificates.extend(read_pair(&mut below, EXAMPLE, has_pair || certs.is_none()));
    if let Some(certs) = certs {
        if has_pair {
            let message = "a listener has `cert` and `key`, or a list `certs`; move the pair into the list";
            certs.sink.error(certs.key_at, message);
        }
        let listed = read_certs(&mut below, &certs);
        certificates.extend(listed.into_iter().filter(|_| !has_pair));
    }
    let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    let min_version = below.word("min_version", &versions, TlsVersion::Tls12);
    let strict_sni = below.flag("strict_sni", true);
    let client_auth = read_client_auth(&mut below);
    table.close("tls", below);
    Some(ListenerTls { at, certificates, min_version, strict_sni, client_auth })
}

/// Reads what an upstream is asked with; `None` in clear.
pub(crate) fn read_upstream<'a>(table: &mut Table<'a>) -> Option<UpstreamTls<'a>> {
    let Some(value) = table.take("tls") else {
        table.show("tls", || "false".to_owned());
        return None;
    };
    if let Some(is_on) = value.raw().as_bool() {
        let plain =
            UpstreamTls { at: value.key_at, server_name: None, ca: Vec::new(), identity: None, verify: true };
        return is_on.then_some(plain);
    }
    if !value.is_table() {
        return value.wrong("true, false or a table such as { server_name = \"api.internal\" }");
    }
    let mut below = value.table("upstreams.NAME.tls")?;
    let at = below.at;
    let server_name = below.text("server_name");
    let ca = read_files(&mut below, "ca");
    let has_pair = has_pair(&below);
    let identity = read_pair(&mut below, "cert = \"client.crt\", key = \"client.key\"", has_pair);
    let verify_at = below.peek_at("verify");
    let verify = below.flag("verify", true);
    if !verify {
        if !ca.is_empty() {
            let message = "with `verify = false` nothing is held against `ca`; remove one of them";
            below.sink.error(below.peek_at("ca").unwrap_or(at), message);
        }
        let message =
            "nobody verifies this upstream, so that anyone between may be it; write `ca = \"ca.pem\"`";
        below.sink.warn(verify_at.unwrap_or(at), message);
    }
    table.close("tls", below);
    Some(UpstreamTls { at, server_name, ca, identity, verify })
}

/// Whether a certificate or a key is there.
fn has_pair(table: &Table<'_>) -> bool {
    ["cert", "key"].iter().any(|key| table.peek_at(key).is_some())
}

/// Reads `cert` and `key`, which may both be absent unless they are needed.
fn read_pair<'a>(table: &mut Table<'a>, example: &str, is_needed: bool) -> Option<Pair<'a>> {
    let (cert, key) = (table.take("cert"), table.take("key"));
    for (key, value) in [("cert", cert), ("key", key)].into_iter().filter(|_| is_needed) {
        if value.is_none() {
            table.missing(key, example);
        }
    }
    let (cert, key) = (cert?.text("the path of a PEM file"), key?.text("the path of a PEM file"));
    Some(Pair { cert: cert?, key: key? })
}

fn read_certs<'a>(table: &mut Table<'a>, value: &Value<'a>) -> Vec<Pair<'a>> {
    const EXAMPLE: &str = "{ cert = \"certs/api.crt\", key = \"certs/api.key\" }";
    let Some(items) = value.list("a list such as [{ cert = \"certs/api.crt\", key = \"certs/api.key\" }]")
    else {
        return Vec::new();
    };
    if items.is_empty() || items.len() > CERTIFICATES_MAX {
        let message = format!("a listener has 1 to {CERTIFICATES_MAX} certificates, found {}", items.len());
        value.sink.error(value.at, message);
    }
    let mut pairs = Vec::with_capacity(items.len());
    let mut shown = Vec::new();
    for item in items {
        let Some(mut below) = item.table("listeners.NAME.tls.certs[]") else { continue };
        pairs.extend(read_pair(&mut below, EXAMPLE, true));
        shown.push(below.shown_inline());
        below.finish();
    }
    table.show("certs", || format!("[{}]", shown.join(", ")));
    pairs
}

fn read_client_auth<'a>(table: &mut Table<'a>) -> Option<ClientAuth<'a>> {
    let mut below = table.open("client_auth", "listeners.NAME.tls.client_auth")?;
    let at = below.at;
    if below.peek_at("ca").is_none() {
        below.missing("ca", "client_auth = { ca = \"ca.pem\" }");
    }
    let ca = read_files(&mut below, "ca");
    let crl = read_files(&mut below, "crl");
    let modes = [("required", ClientAuthMode::Required), ("optional", ClientAuthMode::Optional)];
    let mode = below.word("mode", &modes, ClientAuthMode::Required);
    let header = below.take("header").and_then(|value| {
        let text = value.text("the name of a header, such as \"X-Forwarded-Client-Cert\"")?;
        check_header(&value, &text).then_some(text)
    });
    table.close("client_auth", below);
    Some(ClientAuth { at, ca, crl, mode, header })
}

/// One path or a list of them.
fn read_files<'a>(table: &mut Table<'a>, key: &'static str) -> Vec<Text<'a>> {
    let Some(value) = table.take(key) else { return Vec::new() };
    let expected = "the path of a PEM file, or a list of them";
    let items = if value.is_list() { value.list(expected).unwrap_or_default() } else { vec![value] };
    if items.is_empty() || items.len() > FILES_MAX {
        value.sink.error(value.at, format!("expected 1 to {FILES_MAX} files, found {}", items.len()));
    }
    items.iter().filter_map(|item| item.text(expected)).collect()
}

/// A name that upstreams are told a client by: a token (RFC 9110, 5.1) that means nothing else.
fn check_header(value: &Value<'_>, text: &Text<'_>) -> bool {
    if text.is_unknown {
        return true;
    }
    let mut fields = ringway_http::Fields::new();
    let is_valid = fields.push(&text.value, b"").is_ok() && !ringway_filters::is_reserved(&text.value);
    if !is_valid {
        let message = "expected the name of a header that is free, such as \"X-Forwarded-Client-Cert\"";
        value.sink.error(value.at, text.found(message));
    }
    is_valid
}
