//! What concerns several sections: addresses that are taken twice, listeners that could serve nobody.

use std::collections::HashMap;

use crate::file::File;
use crate::file::sink::Sink;
use crate::snapshot::Address;

/// Checks addresses and listeners.
pub(super) fn check(sink: &Sink<'_>, file: &File<'_>) {
    check_addresses(sink, file);
    check_listeners(sink, file);
    if let Some((address, at)) = file.admin
        && !address.ip().is_loopback()
    {
        sink.warn(
            at,
            format!("the admin API at {address} can be reached from other machines; 127.0.0.1 is safer"),
        );
    }
}

fn check_addresses(sink: &Sink<'_>, file: &File<'_>) {
    let mut taken: HashMap<&Address, String> = HashMap::new();
    let metrics = file.metrics.map(|(address, at)| (Address::Socket(address), at));
    let admin = file.admin.map(|(address, at)| (Address::Socket(address), at));
    let single = [("metrics", &metrics), ("admin", &admin)];
    let listeners = file.listeners.iter().flat_map(|listener| {
        listener.bind.iter().map(|(address, at)| (format!("listeners.{}", listener.name), address, *at))
    });
    let single = single
        .into_iter()
        .filter_map(|(name, place)| place.as_ref().map(|(address, at)| (name.to_owned(), address, *at)));
    let mut all: Vec<_> = listeners.chain(single).collect();
    all.sort_by_key(|(_, _, at)| *at);
    for (name, address, at) in all {
        // Port 0 is a different port each time.
        if matches!(address, Address::Socket(socket) if socket.port() == 0) {
            continue;
        }
        if let Some(other) = taken.get(address) {
            sink.error(at, format!("`{other}` listens here already; choose another address"));
        } else {
            taken.insert(address, name);
        }
    }
}

fn check_listeners(sink: &Sink<'_>, file: &File<'_>) {
    if file.listeners.is_empty() && !sink.has_errors() {
        sink.error(0, "nothing listens; add for example `[listeners.http]` with `bind = \"0.0.0.0:8080\"`");
    }
    for listener in &file.listeners {
        if let Some(at) = listener.proxy_protocol
            && file.server.trusted_proxies.is_empty()
        {
            let message = "only trusted proxies may connect here, and there are none; list their networks in \
                           `server.trusted_proxies`";
            sink.error(at, message);
        }
        if let Some(redirect) = &listener.redirect_https {
            let own = listener.bind.iter().any(
                |(address, _)| matches!(address, Address::Socket(socket) if socket.port() == redirect.port),
            );
            if own {
                let message =
                    "this redirects to the port that it listens on, in a loop; name the TLS listener's port";
                sink.error(redirect.at, message);
            }
        }
    }
}
