//! Names of endpoints become addresses: on the thread `services`, which runs the resolver's own runtime. A
//! name is looked up at once and again when its time to live ends; control is told each outcome and keeps the
//! last good one.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::engine::Event;
use crate::net::MailboxSender;

/// The soonest that a name is looked up again.
const AGAIN_MIN: Duration = Duration::from_secs(1);
/// The latest.
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// For one try of one query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// Control's mailbox was full: how soon to tell it again.
const TELL_AGAIN: Duration = Duration::from_millis(100);

/// What became of looking up a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolution {
    /// The name.
    pub(super) name: Arc<str>,
    /// Its addresses, sorted and at least one; or why there are none.
    pub(super) outcome: Result<Vec<IpAddr>, String>,
}

/// The way to the thread. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Services {
    names: UnboundedSender<Vec<Arc<str>>>,
}

impl Services {
    /// Starts the thread.
    pub(super) fn start(events: MailboxSender<Event>) -> io::Result<Self> {
        let (names, wanted) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("services".to_owned())
            .spawn(move || runtime.block_on(follow(wanted, events)))?;
        Ok(Self { names })
    }

    /// These names, and no others, are looked up from now on. Those that already are go on as they are.
    pub(super) fn follow(&self, names: Vec<Arc<str>>) {
        // The thread ends with control only.
        drop(self.names.send(names));
    }
}

async fn follow(mut wanted: UnboundedReceiver<Vec<Arc<str>>>, events: MailboxSender<Event>) {
    let mut followed: BTreeMap<Arc<str>, AbortHandle> = BTreeMap::new();
    while let Some(names) = wanted.recv().await {
        followed.retain(|name, task| {
            let stays = names.contains(name);
            if !stays {
                task.abort();
            }
            stays
        });
        for name in names {
            followed
                .entry(Arc::clone(&name))
                .or_insert_with(|| tokio::spawn(follow_one(name, events.clone())).abort_handle());
        }
    }
}

async fn follow_one(name: Arc<str>, events: MailboxSender<Event>) {
    loop {
        let (outcome, again) = match look_up(&name).await {
            Ok((addresses, ttl)) => (Ok(addresses), ttl.clamp(AGAIN_MIN, AGAIN_MAX)),
            Err(error) => (Err(error), AGAIN_MIN * 5),
        };
        let mut event = Event::Resolved(Resolution { name: Arc::clone(&name), outcome });
        while let Err(back) = events.send(event) {
            event = back;
            tokio::time::sleep(TELL_AGAIN).await;
        }
        tokio::time::sleep(again).await;
    }
}

/// Looks a name up with the system's present settings: a changed `/etc/hosts` or `/etc/resolv.conf` counts
/// from the next time on. The resolver is made for one look-up, because control keeps the answers and the
/// time is theirs.
async fn look_up(name: &str) -> Result<(Vec<IpAddr>, Duration), String> {
    // Without settings of the system there is still /etc/hosts.
    let mut builder: ResolverBuilder<TokioRuntimeProvider> =
        TokioResolver::builder_tokio().unwrap_or_else(|_| {
            TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
        });
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = QUERY_TIMEOUT;
    options.attempts = 1;
    options.cache_size = 0;
    let resolver = builder.build().map_err(|error| error.to_string())?;
    let found = resolver.lookup_ip(name).await.map_err(|error| error.to_string())?;
    let addresses = in_order(name, found.iter().collect());
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok((addresses, left(found.valid_until())))
}

#[expect(clippy::disallowed_methods, reason = "the resolver tells the end of an answer as an Instant")]
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Sorted, each once, so that an answer in another order is no change. `localhost` is its IPv4 address where
/// it has one: what listens there mostly listens on that alone, and half of the requests would be refused.
fn in_order(name: &str, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    if name.eq_ignore_ascii_case("localhost") && addresses.iter().any(IpAddr::is_ipv4) {
        addresses.retain(IpAddr::is_ipv4);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_answer_in_another_order_is_the_same() {
        let one = in_order("db", ips(&["192.0.2.2", "2001:db8::1", "192.0.2.1", "192.0.2.2"]));
        assert_eq!(one, ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1"]));
    }

    #[test]
    fn localhost_is_its_ipv4_address_where_it_has_one() {
        assert_eq!(in_order("localhost", ips(&["::1", "127.0.0.1"])), ips(&["127.0.0.1"]));
        assert_eq!(in_order("localhost", ips(&["::1"])), ips(&["::1"]));
    }

    #[test]
    fn localhost_is_found_without_a_name_server() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (addresses, _ttl) = runtime.block_on(look_up("localhost")).unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }
}
