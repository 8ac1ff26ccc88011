//! What is known about an exchange: written by core and by filters, read by `$variables`, limits' keys and the access
//! log.

use std::net::{IpAddr, Ipv4Addr};

/// The scheme that the client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Route parameters by name, such as `id` in `/users/{id}`; reused from exchange to exchange.
#[derive(Debug, Default, Clone)]
pub struct Params {
    text: String,
    items: Vec<(usize, usize, usize)>,
}

impl Params {
    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.items.clear();
    }
    /// Adds one.
    pub fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.items.push((start, middle, self.text.len()));
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// Forgets all but the first `len`, to undo a match that failed half-way.
    pub fn truncate(&mut self, len: usize) {
        if let Some(&(start, _, _)) = self.items.get(len) {
            self.text.truncate(start);
            self.items.truncate(len);
        }
    }
    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.iter().filter_map(|&(start, middle, end)| {
            Some((self.text.get(start..middle)?, self.text.get(middle..end)?))
        })
    }
    /// The value of one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }
}

/// What is known about one exchange. Reused from exchange to exchange.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The client's address, after PROXY protocol and trusted `X-Forwarded-For`.
    pub client_ip: IpAddr,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// The request id: kept from a trusted peer, or made.
    pub request_id: String,
    /// The host that was asked for, lower case, without port.
    pub host: String,
    /// The route's name.
    pub route: String,
    /// The route's parameters.
    pub params: Params,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            scheme: Scheme::Http,
            request_id: String::new(),
            host: String::new(),
            route: String::new(),
            params: Params::default(),
        }
    }
}

impl Facts {
    /// Forgets the exchange and keeps the memory.
    pub fn clear(&mut self) {
        self.request_id.clear();
        self.host.clear();
        self.route.clear();
        self.params.clear();
    }
}
