//! What the active checks have found: healthy or not, by identity, so that it lives on over reloads. Pure;
//! `probe` and `ask` make the checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringway_config::Snapshot;
use ringway_config::snapshot::{Endpoint, HealthCheck, Protocol, Question, Upstream};
use ringway_config::tls::UpstreamTls;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::directory::{Resolved, addresses, host};
use crate::net::SocketAddress;
use crate::upstream::server_name;

/// What a check is about. The same upstream, endpoint and address are the same member, whatever else a reload
/// changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// The upstream's name.
    pub(super) upstream: Arc<str>,
    /// `Endpoint::text`.
    pub(super) endpoint: Arc<str>,
    /// Where it is.
    pub(super) address: SocketAddress,
}

/// A check to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// How.
    pub(super) check: HealthCheck,
    /// The `Host` to send.
    pub(super) host: Arc<str>,
    /// What is spoken: what requests speak.
    pub(super) protocol: Protocol,
    /// What TLS is spoken with; none: it is in clear.
    pub(super) tls: Option<Secure>,
}

/// What TLS a check is made with.
#[derive(Debug, Clone)]
pub(super) struct Secure {
    /// How the endpoint is asked.
    pub(super) config: Arc<ClientConfig>,
    /// None: nothing of the endpoint is a name that could be asked for.
    pub(super) name: Option<ServerName<'static>>,
    fingerprint: u64,
}

impl Secure {
    fn new(tls: &UpstreamTls, host: &str) -> Self {
        let name = tls.server_name.clone().or_else(|| server_name(host));
        Self { config: Arc::clone(&tls.client), name, fingerprint: tls.fingerprint }
    }
}

impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        (self.fingerprint, &self.name) == (other.fingerprint, &other.name)
    }
}

impl Eq for Secure {}

/// What is known of one member. Healthy until shown otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    healthy: bool,
    /// Results in a row that contradict `healthy`: below the check's threshold.
    against: u32,
}

/// A member became healthy or unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    /// After `healthy_after` successes in a row.
    Healthy,
    /// After `unhealthy_after` failures in a row.
    Unhealthy,
}

/// All that the checks know.
#[derive(Debug, Default)]
pub(super) struct Health {
    members: BTreeMap<Identity, Standing>,
}

impl Health {
    /// The checks that a snapshot asks for at these addresses; forgets members that are no longer there.
    pub(super) fn reconcile(
        &mut self,
        snapshot: &Snapshot,
        resolved: &Resolved,
    ) -> BTreeMap<Identity, Wanted> {
        let mut wanted = BTreeMap::new();
        for upstream in &snapshot.upstreams {
            let Some(check) = &upstream.health else { continue };
            for endpoint in &upstream.endpoints {
                let own = host(upstream, endpoint);
                let host = match &check.question {
                    Question::Http { host, .. } => host.clone(),
                    // Whoever is asked under that name may refuse a call for another.
                    Question::Grpc { .. } => upstream.tls.as_deref().and_then(asked_name),
                };
                let host = host.unwrap_or_else(|| Arc::clone(&own));
                for address in addresses(endpoint, resolved) {
                    let tls = upstream.tls.as_deref().map(|tls| Secure::new(tls, &own));
                    let (check, host, protocol) = (check.clone(), Arc::clone(&host), upstream.protocol);
                    let want = Wanted { check, host, protocol, tls };
                    wanted.insert(identity(upstream, endpoint, &address), want);
                }
            }
        }
        self.members.retain(|member, _| wanted.contains_key(member));
        for member in wanted.keys() {
            self.members.entry(member.clone()).or_insert(Standing { healthy: true, against: 0 });
        }
        wanted
    }

    /// Takes in one result.
    pub(super) fn record(
        &mut self,
        member: &Identity,
        passed: bool,
        check: &HealthCheck,
    ) -> Option<Transition> {
        let standing = self.members.get_mut(member)?;
        if passed == standing.healthy {
            standing.against = 0;
            return None;
        }
        standing.against += 1;
        let enough = if passed { check.healthy_after } else { check.unhealthy_after };
        if standing.against < enough {
            return None;
        }
        *standing = Standing { healthy: passed, against: 0 };
        Some(if passed { Transition::Healthy } else { Transition::Unhealthy })
    }

    /// Whether requests may go there; what is not checked is healthy.
    pub(super) fn is_healthy(
        &self,
        upstream: &Upstream,
        endpoint: &Endpoint,
        address: &SocketAddress,
    ) -> bool {
        self.members.get(&identity(upstream, endpoint, address)).is_none_or(|standing| standing.healthy)
    }
}

/// The name of `server_name`.
fn asked_name(tls: &UpstreamTls) -> Option<Arc<str>> {
    match &tls.server_name {
        Some(ServerName::DnsName(name)) => Some(Arc::from(name.as_ref())),
        Some(_) | None => None,
    }
}

fn identity(upstream: &Upstream, endpoint: &Endpoint, address: &SocketAddress) -> Identity {
    let (upstream, endpoint) = (Arc::clone(&upstream.name), Arc::clone(&endpoint.text));
    Identity { upstream, endpoint, address: address.clone() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringway_config::snapshot::Address;

    use super::super::directory::tests::{endpoint, snapshot, upstream};
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            question: Question::Http { path: "/health".into(), host: None, expect: vec![200] },
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_after: 3,
            healthy_after: 2,
        }
    }

    fn one_member() -> (Snapshot, Identity) {
        let address = "127.0.0.1:3000".parse().unwrap();
        let checked = Upstream {
            health: Some(check()),
            ..upstream("u", vec![endpoint("127.0.0.1:3000", Address::Socket(address))])
        };
        let member = Identity {
            upstream: "u".into(),
            endpoint: "127.0.0.1:3000".into(),
            address: SocketAddress::Tcp(address),
        };
        (snapshot(vec![checked]), member)
    }

    #[test]
    fn a_member_falls_after_failures_in_a_row_and_rises_after_successes_in_a_row() {
        let (snapshot, member) = one_member();
        let mut health = Health::default();
        assert_eq!(health.reconcile(&snapshot, &Resolved::new()).len(), 1);
        let steps = [
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(Transition::Unhealthy)),
            (false, None),
            (true, None),
            (false, None),
            (true, None),
            (true, Some(Transition::Healthy)),
        ];
        for (at, (passed, expected)) in steps.into_iter().enumerate() {
            assert_eq!(health.record(&member, passed, &check()), expected, "step {at}");
        }
    }

    #[test]
    fn state_lives_on_over_a_reload_and_ends_with_the_member() {
        let (with, member) = one_member();
        let mut health = Health::default();
        health.reconcile(&with, &Resolved::new());
        for _ in 0..3 {
            health.record(&member, false, &check());
        }
        let here = &with.upstreams[0];
        health.reconcile(&with, &Resolved::new());
        assert!(!health.is_healthy(here, &here.endpoints[0], &member.address));
        health.reconcile(&snapshot(Vec::new()), &Resolved::new());
        assert!(health.is_healthy(here, &here.endpoints[0], &member.address));
        assert_eq!(health.record(&member, false, &check()), None);
    }
}
