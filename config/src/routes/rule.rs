//! What a route asks of a request. Every part is made by a constructor that checks it, and that says what is wrong
//! with it as a sentence for the operator.

use std::fmt;

use ringway_http::Method;

use super::index::admits;
use super::path::PathRule;
use crate::snapshot::ListenerId;

/// The `match`, `priority` and `listeners` of a route.
#[derive(Debug, Clone, Default)]
pub struct RouteRule {
    /// Higher goes first.
    pub priority: i64,
    /// On which listeners; empty for all.
    pub listeners: Vec<ListenerId>,
    /// For which hosts; empty for any.
    pub hosts: Vec<HostRule>,
    /// For which paths.
    pub path: PathRule,
    /// For which methods; empty for any.
    pub methods: Vec<MethodRule>,
    /// Fields that the request must have.
    pub headers: Vec<FieldRule>,
    /// Query parameters that the request must have.
    pub query: Vec<QueryRule>,
}

impl RouteRule {
    /// How many further conditions there are: each header, each query parameter, and one for a list of methods.
    pub fn conditions(&self) -> usize {
        self.headers.len() + self.query.len() + usize::from(!self.methods.is_empty())
    }

    /// Whether it takes a method. HEAD is taken where GET is.
    pub fn admits(&self, method: Method, text: &str) -> bool {
        admits(&self.methods, method, text)
    }

    /// Whether it applies on a listener.
    pub fn on_listener(&self, listener: ListenerId) -> bool {
        self.listeners.is_empty() || self.listeners.contains(&listener)
    }
}

/// The hosts of a rule as text.
pub(crate) fn hosts_shown(rule: &RouteRule) -> String {
    let hosts: Vec<_> = rule.hosts.iter().map(ToString::to_string).collect();
    if hosts.is_empty() { "any host".to_owned() } else { hosts.join(", ") }
}

/// The methods of a rule as text.
pub(crate) fn methods_shown(rule: &RouteRule) -> String {
    let methods: Vec<_> = rule.methods.iter().map(MethodRule::as_str).collect();
    if methods.is_empty() { "any".to_owned() } else { methods.join(", ") }
}

/// One entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostRule {
    /// This host, in lower case.
    Exact(String),
    /// Every host below this one, which itself does not match: `*.example.com` is kept as `example.com`.
    Wildcard(String),
}

impl HostRule {
    /// `api.example.com`, `*.example.com`, `127.0.0.1` or `[::1]`. Case and a final dot do not matter.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if lower.is_empty() || lower == "*" {
            return Err("expected a host name; for any host, leave `hosts` out".to_owned());
        }
        if lower.contains('/') {
            return Err(format!("expected a host name without scheme and path, found `{text}`"));
        }
        if lower.starts_with('[') {
            let inner = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            return match inner.map(str::parse::<std::net::Ipv6Addr>) {
                Some(Ok(_)) => Ok(Self::Exact(lower)),
                _ => Err(format!("expected an IPv6 address in brackets without a port, found `{text}`")),
            };
        }
        if let Some((host, _)) = lower.split_once(':') {
            return Err(format!("expected a host name without a port, found `{text}`; write `{host}`"));
        }
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        let (wild, name) = name.strip_prefix("*.").map_or((false, name), |rest| (true, rest));
        if name.contains('*') {
            return Err(format!(
                "`*` can only be the whole first label, as in `*.example.com`, found `{text}`"
            ));
        }
        let label_is_valid = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~".contains(&b))
        };
        if !name.is_ascii() {
            return Err(format!(
                "expected a host name in ASCII, found `{text}`; write it in punycode (`xn--...`)"
            ));
        }
        if !name.split('.').all(label_is_valid) {
            return Err(format!(
                "expected a host name such as `api.example.com` or `*.example.com`, found `{text}`"
            ));
        }
        Ok(if wild { Self::Wildcard(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }

    /// Whether a host (lower case, without a port) matches. A final dot does not matter.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }
        }
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

/// One entry of `methods`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodRule {
    method: Method,
    text: String,
}

impl MethodRule {
    /// A method's name, which is case-sensitive (RFC 9110, 9.1).
    pub fn new(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err(format!("expected a method such as `GET`, found `{text}`"));
        }
        let upper = text.to_ascii_uppercase();
        if let (true, Some(known)) = (upper != text, known_method(&upper)) {
            return Err(format!("methods are case-sensitive; write `{}`", known.1));
        }
        if text == "CONNECT" {
            return Err("`CONNECT` is refused before any route is looked up; leave it out".to_owned());
        }
        Ok(Self { method: known_method(text).map_or(Method::Other, |known| known.0), text: text.to_owned() })
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which it is.
    pub fn method(&self) -> Method {
        self.method
    }
}

/// One entry of `headers`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRule {
    name: String,
    value: String,
}

impl FieldRule {
    /// A field name, which is kept in lower case, and the exact value that one line of it must have.
    pub fn new(name: &str, value: &str) -> Result<Self, String> {
        if !is_token(name) {
            return Err(format!("expected a header name such as `X-Beta`, found `{name}`"));
        }
        if value.bytes().any(|byte| byte.is_ascii_control()) || value.trim_matches([' ', '\t']) != value {
            let problem = "a header's value arrives without control bytes and without spaces around it";
            return Err(format!("{problem}, so `{}` can never match", value.escape_debug()));
        }
        Ok(Self { name: name.to_ascii_lowercase(), value: value.to_owned() })
    }

    /// The name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// One entry of `query`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueryRule {
    name: String,
    value: String,
}

impl QueryRule {
    /// Name and value as an application reads them: percent-decoded, with `+` as a space. A parameter without `=` has
    /// the value "". Of a parameter that is there several times, any may match.
    pub fn new(name: &str, value: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("expected the name of a query parameter, found an empty one".to_owned());
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a raw query (what follows the `?`) has it.
    pub fn matches(&self, query: Option<&str>) -> bool {
        let is_it = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            decodes_to(name, &self.name) && decodes_to(value, &self.value)
        };
        query.is_some_and(|query| query.split('&').any(is_it))
    }
}

/// Whether raw query text, decoded, is `plain`. An escape that is none stands for itself.
fn decodes_to(raw: &str, plain: &str) -> bool {
    let mut raw = raw.as_bytes();
    for &want in plain.as_bytes() {
        let (byte, rest) = match raw {
            [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => (b'%', raw.get(1..).unwrap_or_default()),
            },
            [b'+', rest @ ..] => (b' ', rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return false,
        };
        if byte != want {
            return false;
        }
        raw = rest;
    }
    raw.is_empty()
}

/// The value of a hexadecimal digit.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The methods that have a name of their own, in the order in which `Allow` lists them.
pub(super) const METHODS: [(Method, &str); 8] = [
    (Method::Get, "GET"),
    (Method::Head, "HEAD"),
    (Method::Post, "POST"),
    (Method::Put, "PUT"),
    (Method::Patch, "PATCH"),
    (Method::Delete, "DELETE"),
    (Method::Options, "OPTIONS"),
    (Method::Trace, "TRACE"),
];

fn known_method(text: &str) -> Option<(Method, &'static str)> {
    METHODS.into_iter().find(|(_, name)| *name == text)
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_or_refused() {
        for (text, shown) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com.", "api.example.com"),
            ("*.Example.com", "*.example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("under_score-1", "under_score-1"),
        ] {
            assert_eq!(HostRule::parse(text).unwrap().to_string(), shown);
        }
        for (text, part) in [
            ("", "leave `hosts` out"),
            ("*", "leave `hosts` out"),
            ("http://a", "without scheme"),
            ("a:80", "write `a`"),
            ("[::1]:80", "without a port"),
            ("[zz]", "IPv6"),
            ("a.*.com", "first label"),
            ("*a.com", "first label"),
            ("a..com", "expected a host"),
            ("*.", "first label"),
            ("bücher.de", "punycode"),
            ("a b", "expected a host"),
        ] {
            let message = HostRule::parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_wildcard_matches_below_and_not_itself() {
        let rule = HostRule::parse("*.example.com").unwrap();
        for (host, matches) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            ("badexample.com", false),
            (".example.com", false),
            ("", false),
        ] {
            assert_eq!(rule.matches(host), matches, "{host}");
        }
    }

    #[test]
    fn methods_are_tokens_in_upper_case() {
        assert_eq!(MethodRule::new("GET").unwrap().method(), Method::Get);
        assert_eq!(MethodRule::new("PURGE").unwrap().method(), Method::Other);
        for (text, part) in
            [("get", "write `GET`"), ("", "such as"), ("G T", "such as"), ("CONNECT", "refused")]
        {
            assert!(MethodRule::new(text).unwrap_err().contains(part));
        }
    }

    #[test]
    fn a_header_that_can_never_match_is_refused() {
        assert_eq!(FieldRule::new("X-Beta", "1").unwrap().name(), "x-beta");
        for (name, value) in [("", "1"), ("X Y", "1"), ("X", " 1"), ("X", "1\n"), ("X", "1\t")] {
            assert!(FieldRule::new(name, value).is_err(), "{name}: {value:?}");
        }
    }

    #[test]
    fn query_parameters_compare_decoded() {
        let rule = QueryRule::new("v", "a b&é").unwrap();
        for (query, matches) in [
            ("v=a+b%26%C3%A9", true),
            ("x=1&v=a%20b%26%c3%a9", true),
            ("%76=a+b%26%C3%A9", true),
            ("v=a+b", false),
            ("v=a+b%26%C3%A9x", false),
            ("v", false),
            ("", false),
        ] {
            assert_eq!(rule.matches(Some(query)), matches, "{query}");
        }
        assert!(!rule.matches(None));
        let empty = QueryRule::new("debug", "").unwrap();
        assert!(
            empty.matches(Some("debug"))
                && empty.matches(Some("a&debug="))
                && !empty.matches(Some("debug=1"))
        );
        assert!(QueryRule::new("p", "%zz").unwrap().matches(Some("p=%zz")));
        assert!(QueryRule::new("", "x").is_err());
    }
}
