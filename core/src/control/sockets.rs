//! Listening sockets: bound by control, so that an error is one error and nothing has changed when there is one.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ringway_config::Snapshot;
use ringway_config::snapshot::{Address, ListenerId};

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

/// The addresses that workers listen on. An address that stays in the configuration keeps its sockets, whatever its listener's name.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    addresses: BTreeMap<Address, Option<SocketAddr>>,
}

impl Held {
    /// What is held once a snapshot is seated.
    pub(super) fn after(&self, snapshot: &Snapshot, new: &[Bound]) -> Self {
        let stays =
            |address: &Address| snapshot.listeners.iter().any(|listener| listener.bind.contains(address));
        let mut addresses: BTreeMap<_, _> = self
            .addresses
            .iter()
            .filter(|(address, _)| stays(address))
            .map(|(a, l)| (a.clone(), *l))
            .collect();
        addresses.extend(new.iter().map(|bound| (bound.address.clone(), bound.local)));
        Self { addresses }
    }

    /// Each listener's name and where it really listens.
    pub(super) fn places(&self, snapshot: &Snapshot) -> Vec<(Arc<str>, String)> {
        let listeners = snapshot.listeners.iter();
        listeners
            .flat_map(|listener| listener.bind.iter().map(|address| (Arc::clone(&listener.name), address)))
            .map(|(name, address)| match self.addresses.get(address) {
                Some(Some(local)) => (name, local.to_string()),
                Some(None) | None => (name, text(address)),
            })
            .collect()
    }
}

/// Binds every address of a snapshot that is not held, `workers` sockets each. All that fail are named.
pub(super) fn bind_new(snapshot: &Snapshot, held: &Held, workers: usize) -> Result<Vec<Bound>, Vec<String>> {
    let sharing = if snapshot.server.share_addresses { Sharing::Allow } else { Sharing::Refuse };
    let (mut bound, mut errors) = (Vec::new(), Vec::new());
    for (id, listener) in (0..).map(ListenerId).zip(&snapshot.listeners) {
        for address in &listener.bind {
            if held.addresses.contains_key(address) {
                continue;
            }
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
