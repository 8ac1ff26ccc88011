//! Who the members of each upstream are: the snapshot's endpoints, their addresses by name, and which of them
//! are healthy. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ringway_config::Snapshot;
use ringway_config::snapshot::{Address, Endpoint, Upstream};

use crate::net::SocketAddress;
use crate::worker::inbox::{Directory, Member};

/// The last good addresses of each name, sorted.
pub(super) type Resolved = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// Names that have to be resolved for a snapshot, each once.
pub(super) fn names(snapshot: &Snapshot) -> Vec<Arc<str>> {
    let endpoints = snapshot.upstreams.iter().flat_map(|upstream| &upstream.endpoints);
    let mut names: Vec<Arc<str>> = endpoints
        .filter_map(|endpoint| match &endpoint.address {
            Address::Name(name, _) => Some(Arc::clone(name)),
            Address::Socket(_) | Address::Unix(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Where an endpoint is now; nowhere while its name has not been resolved.
pub(super) fn addresses(endpoint: &Endpoint, resolved: &Resolved) -> Vec<SocketAddress> {
    match &endpoint.address {
        Address::Socket(address) => vec![SocketAddress::Tcp(*address)],
        Address::Unix(path) => vec![SocketAddress::Unix(path.clone())],
        Address::Name(name, port) => {
            let ips = resolved.get(name).map_or(&[][..], Vec::as_slice);
            ips.iter().map(|ip| SocketAddress::Tcp(SocketAddr::new(*ip, *port))).collect()
        }
    }
}

/// The `Host` of an endpoint when the client's is not preserved.
pub(super) fn host(upstream: &Upstream, endpoint: &Endpoint) -> Arc<str> {
    let usual = if upstream.tls.is_some() { 443 } else { 80 };
    match &endpoint.address {
        Address::Socket(address) if address.port() == usual => match address.ip() {
            IpAddr::V4(ip) => ip.to_string().into(),
            IpAddr::V6(ip) => format!("[{ip}]").into(),
        },
        Address::Socket(address) => address.to_string().into(),
        Address::Unix(_) => "localhost".into(),
        Address::Name(name, port) if *port == usual => Arc::clone(name),
        Address::Name(name, port) => format!("{name}:{port}").into(),
    }
}

/// All members. Upstreams whose members are those of `before` keep their memory.
pub(super) fn build(
    snapshot: &Snapshot,
    resolved: &Resolved,
    is_healthy: impl Fn(&Upstream, &Endpoint, &SocketAddress) -> bool,
    before: Option<&Directory>,
) -> Directory {
    let upstreams = snapshot.upstreams.iter().enumerate().map(|(at, upstream)| {
        let members: Vec<Member> = upstream
            .endpoints
            .iter()
            .flat_map(|endpoint| {
                let is_healthy = &is_healthy;
                addresses(endpoint, resolved).into_iter().map(move |address| Member {
                    endpoint: Arc::clone(&endpoint.text),
                    metric: endpoint.metric,
                    host: host(upstream, endpoint),
                    weight: endpoint.weight,
                    healthy: is_healthy(upstream, endpoint, &address),
                    address,
                })
            })
            .collect();
        match before.and_then(|before| before.get(at)).filter(|old| ***old == *members) {
            Some(old) => Arc::clone(old),
            None => members.into(),
        }
    });
    upstreams.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use ringway_config::load::{Names, Secrets, load_str};
    use ringway_config::snapshot::Protocol;

    use super::*;

    pub(in crate::control) fn endpoint(text: &str, address: Address) -> Endpoint {
        Endpoint { text: text.into(), address, weight: 100, metric: 1 }
    }

    pub(in crate::control) fn upstream(name: &str, endpoints: Vec<Endpoint>) -> Upstream {
        Upstream {
            name: name.into(),
            metric: 1,
            endpoints,
            keepalive: 1,
            keepalive_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            health: None,
            base_path: "".into(),
            tls: None,
            protocol: Protocol::Http1,
            streams_max: 1,
        }
    }

    /// A snapshot with these upstreams, one listener and one route.
    pub(in crate::control) fn snapshot(upstreams: Vec<Upstream>) -> Snapshot {
        const TEXT: &str = "[listeners.http]\nbind = \"127.0.0.1:0\"\n\
                            [routes.all]\nmatch = { prefix = \"/\" }\nrespond = \"ready\"\n";
        let base = std::path::Path::new("/");
        let loaded = load_str("test.toml", TEXT, base, &mut Names::default(), Secrets::Ignore).unwrap();
        Snapshot { upstreams, ..loaded.snapshot }
    }

    #[test]
    fn a_name_with_two_addresses_is_two_members() {
        let snapshot = snapshot(vec![upstream("u", vec![endpoint("db:90", Address::Name("db".into(), 90))])]);
        let resolved = Resolved::from([(
            "db".into(),
            vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        )]);
        let directory = build(&snapshot, &resolved, |_, _, _| true, None);
        let addresses: Vec<_> = directory[0].iter().map(|member| member.address.clone()).collect();
        let expected =
            ["192.0.2.1:90", "[2001:db8::1]:90"].map(|text| SocketAddress::Tcp(text.parse().unwrap()));
        assert_eq!(addresses, expected);
        assert_eq!(&*directory[0][0].host, "db:90");
    }

    #[test]
    fn a_name_without_addresses_has_no_members() {
        let snapshot = snapshot(vec![upstream("u", vec![endpoint("db:90", Address::Name("db".into(), 90))])]);
        assert!(build(&snapshot, &Resolved::new(), |_, _, _| true, None)[0].is_empty());
        assert_eq!(names(&snapshot), ["db".into()]);
    }

    #[test]
    fn upstreams_that_did_not_change_keep_their_memory() {
        let at = |port| Address::Socket(SocketAddr::from(([127, 0, 0, 1], port)));
        let one = upstream("one", vec![endpoint("127.0.0.1:1", at(1))]);
        let two = upstream("two", vec![endpoint("127.0.0.1:2", at(2))]);
        let snapshot = snapshot(vec![one, two]);
        let before = build(&snapshot, &Resolved::new(), |_, _, _| true, None);
        let after =
            build(&snapshot, &Resolved::new(), |upstream, _, _| &*upstream.name == "one", Some(&before));
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert!(!Arc::ptr_eq(&before[1], &after[1]));
        assert!(!after[1][0].healthy);
    }

    #[test]
    fn the_default_port_is_left_out_of_the_host() {
        let cases = [
            (Address::Name("a.example".into(), 80), "a.example"),
            (Address::Name("a.example".into(), 8080), "a.example:8080"),
            (Address::Socket("192.0.2.1:80".parse().unwrap()), "192.0.2.1"),
            (Address::Socket("[2001:db8::1]:80".parse().unwrap()), "[2001:db8::1]"),
            (Address::Socket("[2001:db8::1]:81".parse().unwrap()), "[2001:db8::1]:81"),
            (Address::Unix("/run/app.sock".into()), "localhost"),
        ];
        for (address, expected) in cases {
            assert_eq!(&*host(&upstream("u", Vec::new()), &endpoint("e", address)), expected);
        }
    }
}
