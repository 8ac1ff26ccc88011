//! The scenarios, as data. A new one is an entry here; `compare` does the rest.

use crate::load::Plan;
use crate::origin::Terms;
use crate::targets::{Kind, Subject, Variant};
use crate::tls::Client;
use crate::wire::{Origin, Security, Wire};

/// What is measured, and on whom.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What the load does, as a report says it.
    pub(crate) about: &'static str,
    pub(crate) connections: usize,
    pub(crate) shape: Shape,
    /// What the cost is per.
    pub(crate) unit: Unit,
    /// Bytes that each request posts; 0: a GET.
    pub(crate) posts: usize,
    /// Bytes of each answer's body.
    pub(crate) answer: usize,
    /// Whether requests go to one of `ROUTES` paths in turn, or to the root.
    pub(crate) paths: Paths,
    /// Seconds in which requests and CPU time are counted.
    pub(crate) window_seconds: f64,
    /// Whether a target is expected to use all of its CPU, so that a round in which it did not is left out.
    pub(crate) saturates: bool,
    /// What is spoken on either side of a target.
    pub(crate) wire: Wire,
    /// Rows of the table.
    pub(crate) subjects: &'static [Subject],
}

/// How the load behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A connection sends its next request when the last has been answered.
    Closed,
    /// The same, on a new connection for each request.
    Reconnecting,
    /// The same, and each connection resumes a TLS session that another process of the target has begun.
    Resuming,
    /// Each connection makes one request and stays.
    Idle,
    /// Requests are sent at a constant rate: so many percent of what nginx can answer.
    Open(u32),
}

/// What the cost is per.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds of CPU per request.
    Request,
    /// Seconds of CPU per GiB of bodies.
    Gib,
    /// Resident bytes per connection.
    Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paths {
    Root,
    Routes,
}

/// How many routes the configurations with many routes have.
pub(crate) const ROUTES: usize = 1_000;

const RINGWAY: Subject = Subject::plain(Kind::Ringway);
const NGINX: Subject = Subject::plain(Kind::Nginx);
const HAPROXY: Subject = Subject::plain(Kind::Haproxy);
const H2O: Subject = Subject::plain(Kind::H2o);
const PINGORA: Subject = Subject::plain(Kind::Pingora);
const FLOOR: Subject = Subject::plain(Kind::Floor);
const DIRECT: Subject = Subject::plain(Kind::Direct);
const ALL: &[Subject] = &[RINGWAY, NGINX, HAPROXY, H2O, PINGORA, FLOOR, DIRECT];
/// Who speaks TLS.
const TLS: &[Subject] = &[RINGWAY, NGINX, HAPROXY, H2O];
/// The floor makes a connection to the origin for each client's, and keeps nothing of one that waits.
const HTTP: &[Subject] = &[RINGWAY, NGINX, HAPROXY, H2O, PINGORA];

const KEEPALIVE: Scenario = Scenario {
    name: "keepalive-500B-c64",
    about: "GET, 500 B answers, 64 keep-alive connections in a closed loop",
    connections: 64,
    shape: Shape::Closed,
    unit: Unit::Request,
    posts: 0,
    answer: 500,
    paths: Paths::Root,
    window_seconds: 1.0,
    saturates: true,
    wire: Wire::PLAIN,
    subjects: ALL,
};

/// What clients mostly come with.
const KEEPALIVE_TLS: Scenario = Scenario {
    name: "tls-keepalive-500B-c64",
    about: "GET over TLS 1.3, 500 B answers, 64 keep-alive connections in a closed loop",
    wire: Wire::TLS,
    subjects: TLS,
    ..KEEPALIVE
};

/// In the order in which they are run and shown.
pub(crate) const SCENARIOS: &[Scenario] = &[
    KEEPALIVE,
    Scenario {
        name: "keepalive-500B-c256",
        about: "GET, 500 B answers, 256 keep-alive connections in a closed loop",
        connections: 256,
        ..KEEPALIVE
    },
    Scenario {
        name: "open-40pct",
        about: "GET, 500 B answers, at a constant rate",
        shape: Shape::Open(40),
        window_seconds: 3.0,
        saturates: false,
        ..KEEPALIVE
    },
    Scenario {
        name: "routes-1000-ops-5",
        about: "GET, 500 B answers, 64 connections, requests to 1,000 paths in turn: with one route for all, and with \
                1,000 routes that each set two fields of the request and remove one, and set one of the response and \
                remove one",
        paths: Paths::Routes,
        subjects: &[RINGWAY, RINGWAY.with(Variant::Routes), NGINX, HAPROXY],
        ..KEEPALIVE
    },
    Scenario {
        name: "access-log-json",
        about: "GET, 500 B answers, 64 connections: without an access log, and with one in JSON to a file",
        subjects: &[
            RINGWAY,
            RINGWAY.with(Variant::AccessLog),
            NGINX,
            NGINX.with(Variant::AccessLog),
            HAPROXY,
            HAPROXY.with(Variant::AccessLog),
        ],
        ..KEEPALIVE
    },
    Scenario {
        name: "metrics-scrape",
        about: "GET, 500 B answers, 64 connections, requests to 1,000 routes in turn: with the metrics not asked for, \
                and asked for each second",
        paths: Paths::Routes,
        window_seconds: 2.0,
        subjects: &[
            RINGWAY.with(Variant::Routes).against(Variant::Routes),
            RINGWAY.with(Variant::Scraped).against(Variant::Routes),
            NGINX,
            HAPROXY,
        ],
        ..KEEPALIVE
    },
    Scenario {
        name: "connection-per-request",
        about: "GET with Connection: close, 500 B answers, 64 clients at a time, a new connection for each request; \
                kept connections to the origin",
        shape: Shape::Reconnecting,
        saturates: false,
        subjects: HTTP,
        ..KEEPALIVE
    },
    Scenario {
        name: "body-64KiB",
        about: "GET, 64 KiB answers, 64 keep-alive connections in a closed loop",
        answer: 64 * 1024,
        ..KEEPALIVE
    },
    Scenario {
        name: "body-1MiB",
        about: "GET, 1 MiB answers, 16 keep-alive connections in a closed loop",
        connections: 16,
        answer: 1024 * 1024,
        unit: Unit::Gib,
        ..KEEPALIVE
    },
    Scenario {
        name: "body-100MiB",
        about: "GET, 100 MiB answers, 4 keep-alive connections in a closed loop",
        connections: 4,
        answer: 100 * 1024 * 1024,
        unit: Unit::Gib,
        ..KEEPALIVE
    },
    Scenario {
        name: "post-4KiB",
        about: "POST of 4 KiB, 500 B answers, 64 keep-alive connections in a closed loop",
        posts: 4 * 1024,
        ..KEEPALIVE
    },
    Scenario {
        name: "post-10MiB",
        about: "POST of 10 MiB, 500 B answers, 4 keep-alive connections in a closed loop",
        connections: 4,
        posts: 10 * 1024 * 1024,
        unit: Unit::Gib,
        subjects: &[RINGWAY, NGINX, NGINX.with(Variant::Unbuffered), HAPROXY, H2O, PINGORA, FLOOR, DIRECT],
        ..KEEPALIVE
    },
    Scenario {
        name: "idle-5000",
        about: "5,000 idle keep-alive connections, each after one request",
        connections: 5_000,
        shape: Shape::Idle,
        unit: Unit::Connection,
        saturates: false,
        subjects: HTTP,
        ..KEEPALIVE
    },
    Scenario {
        name: "two-workers",
        about: "GET, 500 B answers, 64 keep-alive connections in a closed loop: with one worker, and with two",
        saturates: false,
        subjects: &[RINGWAY, RINGWAY.with(Variant::TwoWorkers), NGINX, NGINX.with(Variant::TwoWorkers)],
        ..KEEPALIVE
    },
    Scenario {
        name: "reload-each-second",
        about: "GET, 500 B answers, at a constant rate: with a configuration that stays, and with one that is changed \
                and loaded again each second",
        shape: Shape::Open(40),
        window_seconds: 4.0,
        saturates: false,
        subjects: &[RINGWAY, RINGWAY.with(Variant::Reloaded), NGINX, DIRECT],
        ..KEEPALIVE
    },
    KEEPALIVE_TLS,
    Scenario {
        name: "tls-handshake-full",
        about: "GET over TLS 1.3 with Connection: close, 500 B answers, 64 clients at a time, a full handshake for \
                each request (ECDSA P-256, X25519)",
        shape: Shape::Reconnecting,
        saturates: false,
        ..KEEPALIVE_TLS
    },
    Scenario {
        name: "tls-handshake-resumed",
        about: "GET over TLS 1.3 with Connection: close, 500 B answers, 64 clients at a time, a resumed handshake for \
                each request, with a ticket that another process of the same target has issued",
        shape: Shape::Resuming,
        saturates: false,
        ..KEEPALIVE_TLS
    },
    Scenario {
        name: "tls-body-1MiB",
        about: "GET over TLS 1.3, 1 MiB answers, 16 keep-alive connections in a closed loop",
        connections: 16,
        answer: 1024 * 1024,
        unit: Unit::Gib,
        ..KEEPALIVE_TLS
    },
    Scenario {
        name: "tls-idle-5000",
        about: "5,000 idle keep-alive connections over TLS 1.3, each after one request",
        connections: 5_000,
        shape: Shape::Idle,
        unit: Unit::Connection,
        saturates: false,
        ..KEEPALIVE_TLS
    },
    Scenario {
        name: "h2-tls-16x32",
        about: "GET in HTTP/2 over TLS 1.3, 500 B answers, 16 connections that keep 32 streams open each; HTTP/1.1 to \
                the origin",
        connections: 16,
        wire: Wire { streams: 32, ..Wire::TLS },
        ..KEEPALIVE_TLS
    },
    Scenario {
        name: "h1-c64-to-h2c",
        about: "GET, 500 B answers, 64 keep-alive connections in a closed loop; HTTP/2 in clear to the origin, but for \
                the floor",
        wire: Wire { origin: Origin::H2c, ..Wire::PLAIN },
        subjects: &[RINGWAY, HAPROXY, FLOOR, DIRECT],
        ..KEEPALIVE
    },
    Scenario {
        name: "grpc-unary-100B",
        about: "gRPC calls with messages of 100 B both ways, HTTP/2 in clear on both sides, 16 connections that keep \
                32 calls open each",
        connections: 16,
        posts: 100,
        answer: 100,
        wire: Wire { security: Security::Clear, streams: 32, origin: Origin::Grpc },
        // No floor: it would pass on whole batches of calls, and show nothing that a proxy of calls can come near.
        subjects: &[RINGWAY, NGINX, HAPROXY, DIRECT],
        ..KEEPALIVE
    },
];

impl Scenario {
    /// What the origin is to say and to hear.
    pub(crate) fn terms(&self) -> Terms {
        Terms { answer: self.answer, request: Some(self.posts), grpc: self.wire.origin == Origin::Grpc }
    }

    /// What the load is to do. `length`: what to expect of each answer's body.
    pub(crate) fn plan(
        &self,
        connections: Option<usize>,
        length: Option<usize>,
        tls: Option<Client>,
    ) -> Plan {
        let paths = match self.paths {
            Paths::Root => Vec::new(),
            Paths::Routes => (0..ROUTES).map(|route| format!("/api/r{route}/item")).collect(),
        };
        Plan {
            connections: connections.unwrap_or(self.connections),
            posts: self.posts,
            paths,
            reuse: !matches!(self.shape, Shape::Reconnecting | Shape::Resuming),
            length,
            streams: self.wire.streams,
            grpc: self.wire.origin == Origin::Grpc,
            tls,
        }
    }
}

impl Unit {
    /// The title of the first column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Request => "CPU us per request",
            Self::Gib => "CPU s per GiB",
            Self::Connection => "resident bytes per connection",
        }
    }

    /// Digits behind the point.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::Request => 2,
            Self::Gib => 3,
            Self::Connection => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_bases_to_compare_with() {
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[at + 1..].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
            for subject in scenario.subjects {
                let labels = || scenario.subjects.iter().map(|subject| subject.label());
                assert_eq!(labels().filter(|label| *label == subject.label()).count(), 1, "{subject:?}");
                let base = subject.base_label();
                assert!(base.is_none_or(|base| labels().any(|label| label == base)), "{subject:?}");
            }
        }
    }

    #[test]
    fn rates_are_made_in_clear_and_tickets_are_for_tls() {
        for Scenario { name, shape, wire, .. } in SCENARIOS {
            assert!(!matches!(shape, Shape::Open(_)) || *wire == Wire::PLAIN, "{name}");
            assert!(*shape != Shape::Resuming || wire.is_tls(), "{name}");
        }
    }

    #[test]
    fn paths_lie_under_the_routes_of_the_configuration() {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.paths == Paths::Routes).unwrap();
        let plan = scenario.plan(Some(3), None, None);
        assert_eq!((plan.paths.len(), plan.connections), (ROUTES, 3));
        let text = crate::configuration::text(
            *scenario.subjects.iter().find(|subject| subject.variant == Variant::Routes).unwrap(),
            &crate::configuration::Place::of_test(),
        );
        for path in plan.paths {
            let prefix = path.strip_suffix("item").unwrap();
            assert!(text.contains(&format!("prefix = \"{prefix}\"")), "{path}");
        }
    }
}
