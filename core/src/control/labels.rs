//! The words behind the numbers under which workers count. Learnt from each snapshot and kept, so that a
//! counter of a route that a reload removed still has its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringway_config::Snapshot;
use ringway_http::Method;

use crate::shard::{NO_ROUTE, NO_UPSTREAM, OTHER, SeriesKey};

/// The label of what has no route, or no upstream.
const NONE: &str = "-";
/// The label of what no longer fits a table.
pub(super) const OTHER_LABEL: &str = "_other";

/// Numbers and their words.
#[derive(Debug, Default)]
pub(super) struct Labels {
    routes: BTreeMap<u32, Arc<str>>,
    upstreams: BTreeMap<u32, Arc<str>>,
    /// Upstream and endpoint.
    endpoints: BTreeMap<u32, (Arc<str>, Arc<str>)>,
}

/// The three words of a request series beside its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Words<'a> {
    pub(super) method: &'static str,
    /// The route.
    pub(super) endpoint: &'a str,
    /// The upstream.
    pub(super) service: &'a str,
}

impl Labels {
    /// Takes in a snapshot's names.
    pub(super) fn learn(&mut self, snapshot: &Snapshot) {
        self.routes.extend(snapshot.routes.all().iter().map(|route| (route.metric, Arc::clone(&route.name))));
        for upstream in &snapshot.upstreams {
            self.upstreams.insert(upstream.metric, Arc::clone(&upstream.name));
            for endpoint in &upstream.endpoints {
                let words = (Arc::clone(&upstream.name), Arc::clone(&endpoint.text));
                self.endpoints.insert(endpoint.metric, words);
            }
        }
    }

    /// A series' words.
    pub(super) fn words(&self, key: SeriesKey) -> Words<'_> {
        Words {
            method: method(key.method),
            endpoint: lend(&self.routes, key.route, NO_ROUTE),
            service: lend(&self.upstreams, key.upstream, NO_UPSTREAM),
        }
    }

    /// Each endpoint's number, upstream and text.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.endpoints.iter().map(|(metric, (upstream, endpoint))| (*metric, &**upstream, &**endpoint))
    }
}

fn lend(names: &BTreeMap<u32, Arc<str>>, number: u32, none: u32) -> &str {
    match number {
        OTHER => OTHER_LABEL,
        number if number == none => NONE,
        number => names.get(&number).map_or(OTHER_LABEL, |name| name),
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other => "OTHER",
    }
}
