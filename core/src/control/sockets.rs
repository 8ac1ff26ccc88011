//! Listening sockets: bound by control, so that an error is one error and nothing has changed when there is
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::Snapshot;
use ringway_config::snapshot::{Address, Listener, ListenerId};

use crate::clock::Moment;
use crate::net::{self, BoundListener, Sharing};

/// The sockets of one address, one for each worker.
#[derive(Debug)]
pub(super) struct Bound {
    listener: ListenerId,
    address: Address,
    /// Where it really is: differs from `address` for port 0.
    pub(super) local: Option<SocketAddr>,
    sockets: Vec<BoundListener>,
}

/// How long workers may still hold the sockets of a listener that is gone, to take what is queued on them.
const RELEASING: Duration = Duration::from_secs(10);

/// The addresses that workers listen on, by listener.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    places: BTreeMap<(Arc<str>, Address), Option<SocketAddr>>,
    /// Addresses that were given up, and when.
    released: Vec<(Address, Moment)>,
}

impl Held {
    /// What is held once a snapshot is seated. A listener that is bound anew gives up what it had.
    pub(super) fn after(&self, snapshot: &Snapshot, new: &[Bound], now: Moment) -> Self {
        let mut places = BTreeMap::new();
        let mut released = self.released.clone();
        released.retain(|(_, at)| now.since(*at) < RELEASING);
        for ((name, address), local) in &self.places {
            if snapshot.listeners.iter().any(|listener| listener.name == *name && self.keeps(listener)) {
                places.insert((Arc::clone(name), address.clone()), *local);
            } else {
                released.push((address.clone(), now));
            }
        }
        for bound in new {
            if let Some(listener) = snapshot.listeners.get(bound.listener.0 as usize) {
                places.insert((Arc::clone(&listener.name), bound.address.clone()), bound.local);
            }
        }
        Self { places, released }
    }

    /// Each listener's name and where it really listens.
    pub(super) fn places(&self, snapshot: &Snapshot) -> Vec<(Arc<str>, String)> {
        let listeners = snapshot.listeners.iter();
        listeners
            .flat_map(|listener| listener.bind.iter().map(|address| (Arc::clone(&listener.name), address)))
            .map(|(name, address)| match self.places.get(&(Arc::clone(&name), address.clone())) {
                Some(Some(local)) => (name, local.to_string()),
                Some(None) | None => (name, text(address)),
            })
            .collect()
    }

    /// Whether a listener goes on with the sockets that it has: the same name, and the same addresses.
    fn keeps(&self, listener: &Listener) -> bool {
        let had = self.places.keys().filter(|(name, _)| *name == listener.name);
        let wanted: BTreeSet<&Address> = listener.bind.iter().collect();
        had.map(|(_, address)| address).collect::<BTreeSet<_>>() == wanted
    }

    /// Whether it is this process that listens there.
    fn is_ours(&self, address: &Address, now: Moment) -> bool {
        self.places.keys().any(|(_, held)| held == address)
            || self.released.iter().any(|(held, at)| held == address && now.since(*at) < RELEASING)
    }
}

/// Which addresses to bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those where nobody of this process listens.
    New,
    /// Those that this process gives up in the same reload: bound last, because clients come to a socket as soon as it
    /// is bound, and no worker takes them before it is seated.
    Ours,
}

/// Binds the listeners of a snapshot that do not go on as they are, `workers` sockets for each address. All
/// that fail are named.
pub(super) fn bind_new(
    snapshot: &Snapshot,
    held: &Held,
    workers: usize,
    now: Moment,
    which: Which,
) -> Result<Vec<Bound>, Vec<String>> {
    let (mut bound, mut errors) = (Vec::new(), Vec::new());
    for (id, listener) in (0..).map(ListenerId).zip(&snapshot.listeners) {
        if held.keeps(listener) {
            continue;
        }
        for address in &listener.bind {
            let is_ours = held.is_ours(address, now);
            if is_ours && matches!(address, Address::Unix(_)) {
                errors.push(format!(
                    "listener {} cannot take {} over while Ringway runs: keep the name and addresses of \
                     its listener, or restart",
                    listener.name,
                    text(address)
                ));
                continue;
            }
            if is_ours != (which == Which::Ours) {
                continue;
            }
            // What this process itself listens on until the workers have changed over is no other instance's.
            let sharing =
                if is_ours || snapshot.server.share_addresses { Sharing::Allow } else { Sharing::Refuse };
            match net::bind(address, workers, sharing) {
                Ok(sockets) => {
                    let local = sockets.first().and_then(BoundListener::local);
                    bound.push(Bound { listener: id, address: address.clone(), local, sockets });
                }
                Err(error) => errors.push(why_not(&format!("listener {}", listener.name), address, &error)),
            }
        }
    }
    if errors.is_empty() { Ok(bound) } else { Err(errors) }
}

/// Deals the sockets out, one of each address to each worker.
pub(super) fn deal(bound: Vec<Bound>, workers: usize) -> Vec<Vec<(ListenerId, BoundListener)>> {
    let mut hands: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for Bound { listener, sockets, .. } in bound {
        for (hand, socket) in hands.iter_mut().zip(sockets) {
            hand.push((listener, socket));
        }
    }
    hands
}

/// What an operator can do about a failed bind.
pub(super) fn why_not(whose: &str, address: &Address, error: &io::Error) -> String {
    let place = text(address);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "kinds for which there is advice; others speak for themselves"
    )]
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{whose} cannot listen on {place}: another process listens there (a second Ringway may only with \
             server.share_addresses = true)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "{whose} cannot listen on {place}: permission denied (a port below 1024 needs CAP_NET_BIND_SERVICE, a \
             Unix socket a folder that may be written to)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{whose} cannot listen on {place}: no interface of this machine has the address")
        }
        _ => format!("{whose} cannot listen on {place}: {error}"),
    }
}

/// An address as it is written in the configuration.
pub(super) fn text(address: &Address) -> String {
    match address {
        Address::Socket(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
        Address::Name(name, port) => format!("{name}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::directory::tests;
    use super::*;

    fn listener(name: &str, bind: &[&str]) -> Listener {
        let bind = bind.iter().map(|text| Address::Socket(text.parse().unwrap())).collect();
        let [any] = &tests::snapshot(Vec::new()).listeners[..] else { panic!("one listener") };
        Listener { name: name.into(), bind, ..any.clone() }
    }

    fn snapshot(listeners: Vec<Listener>) -> Snapshot {
        Snapshot { listeners, ..tests::snapshot(Vec::new()) }
    }

    #[test]
    fn a_listener_with_the_same_name_and_addresses_keeps_its_sockets() {
        let (first, now) = (snapshot(vec![listener("a", &["127.0.0.1:0"])]), Moment(0));
        let bound = bind_new(&first, &Held::default(), 2, now, Which::New).unwrap();
        assert_eq!(bound.len(), 1);
        let held = Held::default().after(&first, &bound, now);
        assert!(bind_new(&first, &held, 2, now, Which::Ours).unwrap().is_empty());
        let port = bound[0].local.unwrap();
        assert_eq!(held.places(&first), [("a".into(), port.to_string())]);
        assert_eq!(deal(bound, 2).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_renamed_listener_takes_its_address_over_from_itself() {
        let now = Moment(0);
        let free =
            bind_new(&snapshot(vec![listener("a", &["127.0.0.1:0"])]), &Held::default(), 1, now, Which::New)
                .unwrap();
        let at = free[0].local.unwrap().to_string();
        drop(free);
        let first = snapshot(vec![listener("a", &[&at])]);
        let bound = bind_new(&first, &Held::default(), 1, now, Which::New).unwrap();
        let held = Held::default().after(&first, &bound, now);
        let second = snapshot(vec![listener("b", &[&at])]);
        assert!(bind_new(&second, &held, 1, now, Which::New).unwrap().is_empty());
        let again = bind_new(&second, &held, 1, now, Which::Ours).unwrap();
        assert_eq!(again.len(), 1);
        let held = held.after(&second, &again, now);
        assert_eq!(held.places(&second), [("b".into(), at)]);
    }

    #[test]
    fn every_address_that_another_holds_is_named() {
        let others = bind_new(
            &snapshot(vec![listener("x", &["127.0.0.1:0"])]),
            &Held::default(),
            1,
            Moment(0),
            Which::New,
        )
        .unwrap();
        let at = others[0].local.unwrap().to_string();
        let two = snapshot(vec![listener("a", &[&at]), listener("b", &[&at])]);
        let errors = bind_new(&two, &Held::default(), 1, Moment(0), Which::New).unwrap_err();
        assert_eq!(errors.len(), 2);
        assert!(
            errors[0].starts_with(&format!("listener a cannot listen on {at}: another process")),
            "{errors:?}"
        );
    }

    #[test]
    fn an_address_given_up_is_ours_for_a_while() {
        let first = snapshot(vec![listener("a", &["127.0.0.1:9"])]);
        let bound = Bound {
            listener: ListenerId(0),
            address: first.listeners[0].bind[0].clone(),
            local: None,
            sockets: vec![],
        };
        let held = Held::default().after(&first, &[bound], Moment(0));
        let held = held.after(&snapshot(Vec::new()), &[], Moment(0));
        let address = &first.listeners[0].bind[0];
        assert!(held.is_ours(address, Moment(0).after(Duration::from_secs(9))));
        assert!(!held.is_ours(address, Moment(0).after(Duration::from_secs(10))));
    }
}
