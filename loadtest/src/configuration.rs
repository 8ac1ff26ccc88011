//! What each target is told to do: the files in `targets/`, with what a variant changes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::scenario::ROUTES;
use crate::targets::{Kind, Subject, Variant};
use crate::wire::{Origin, Wire};

/// Where a target is to listen and to write, and whom it serves.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its own, for whatever it writes.
    pub(crate) folder: PathBuf,
    pub(crate) listen: SocketAddr,
    /// For its metrics.
    pub(crate) metrics: SocketAddr,
    pub(crate) origin: SocketAddr,
    pub(crate) wire: Wire,
    /// Where the certificate and the keys of tickets are, if the wire is TLS.
    pub(crate) secrets: PathBuf,
    /// The CPUs that it may use; one worker each, if the variant has more than one.
    pub(crate) cpus: Vec<usize>,
}

impl Place {
    pub(crate) fn access_log(&self) -> PathBuf {
        self.folder.join("access.log")
    }
}

/// A configuration with one worker, a pool of kept connections to the origin, and no access log; and what the variant
/// changes of it.
pub(crate) fn text(subject: Subject, place: &Place) -> String {
    let form = match subject.kind {
        Kind::Ringway => include_str!("../targets/ringway.toml"),
        Kind::Nginx => include_str!("../targets/nginx.conf"),
        Kind::Haproxy => include_str!("../targets/haproxy.cfg"),
        Kind::H2o => include_str!("../targets/h2o.conf"),
        Kind::Floor => "@LISTEN@ @ORIGIN@",
        Kind::Pingora | Kind::Direct | Kind::Url => "",
    };
    let text = match subject.kind {
        Kind::Ringway => ringway(subject.variant, form),
        Kind::Nginx => nginx(subject.variant, form),
        Kind::Haproxy => haproxy(subject.variant, form),
        Kind::H2o | Kind::Floor | Kind::Pingora | Kind::Direct | Kind::Url => form.to_owned(),
    };
    let text = match subject.kind {
        Kind::Ringway => ringway_wire(place.wire, &text),
        Kind::Nginx => nginx_wire(place.wire, &text),
        Kind::Haproxy => haproxy_wire(place.wire, &text),
        Kind::H2o => h2o_wire(place.wire, &text),
        Kind::Floor | Kind::Pingora | Kind::Direct | Kind::Url => text,
    };
    text.replace("@LISTEN@", &place.listen.to_string())
        .replace("@ORIGIN@", &place.origin.to_string())
        .replace("@METRICS@", &place.metrics.to_string())
        .replace("@PORT@", &place.listen.port().to_string())
        .replace("@LOG@", &place.access_log().display().to_string())
        .replace("@FOLDER@", &place.folder.display().to_string())
        .replace("@SECRETS@", &place.secrets.display().to_string())
}

fn ringway_wire(wire: Wire, text: &str) -> String {
    let mut text = text.to_owned();
    if wire.is_tls() {
        let tls = "bind = \"@LISTEN@\"\ntls = { cert = \"@SECRETS@/cert.pem\", key = \"@SECRETS@/key.pem\" }";
        text = text.replace("bind = \"@LISTEN@\"", tls);
        // Where all processes keep the keys of their tickets.
        text = text.replace("[server]", "[server]\nstate_dir = \"@SECRETS@\"");
    }
    if wire.origin != Origin::Http1 {
        text = text.replace("endpoints = ", "protocol = \"http2\"\nendpoints = ");
    }
    text
}

fn nginx_wire(wire: Wire, text: &str) -> String {
    let mut text = text.to_owned();
    let listen = "listen @LISTEN@ backlog=4096;";
    if wire.is_tls() {
        text = text.replace(
            listen,
            "listen @LISTEN@ ssl http2 backlog=4096;\n    ssl_certificate @SECRETS@/cert.pem;\n    \
             ssl_certificate_key @SECRETS@/key.pem;\n    ssl_protocols TLSv1.2 TLSv1.3;\n    \
             ssl_session_ticket_key @SECRETS@/nginx.key;",
        );
    } else if wire.is_h2() {
        text = text.replace(listen, "listen @LISTEN@ http2 backlog=4096;");
    }
    if wire.origin == Origin::Grpc {
        text = text.replace("proxy_pass http://origin;", "grpc_pass grpc://origin;");
    }
    text
}

fn haproxy_wire(wire: Wire, text: &str) -> String {
    let mut text = text.to_owned();
    let bind = "bind @LISTEN@ backlog 4096";
    if wire.is_tls() {
        let tls = "ssl crt @SECRETS@/both.pem alpn h2,http/1.1 tls-ticket-keys @SECRETS@/haproxy.keys";
        text = text.replace(bind, &format!("{bind} {tls}"));
    } else if wire.is_h2() {
        text = text.replace(bind, &format!("{bind} proto h2"));
    }
    if wire.origin != Origin::Http1 {
        text = text.replace("server origin @ORIGIN@", "server origin @ORIGIN@ proto h2");
    }
    text
}

fn h2o_wire(wire: Wire, text: &str) -> String {
    if !wire.is_tls() {
        return text.to_owned();
    }
    let port = "  port: @PORT@\n";
    // It would start a program to staple what no authority says of this certificate.
    let tls = "  ssl:\n    certificate-file: @SECRETS@/cert.pem\n    key-file: @SECRETS@/key.pem\n    \
               ocsp-update-interval: 0\n\
               ssl-session-resumption:\n  mode: ticket\n  ticket-store: file\n  ticket-file: @SECRETS@/h2o.yaml\n";
    text.replace(port, &format!("{port}{tls}"))
}

fn ringway(variant: Variant, form: &str) -> String {
    let mut text = form.to_owned();
    match variant {
        Variant::Routes | Variant::Scraped => {
            for route in 0..ROUTES {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "[routes.r{route}]\n\
                     match = {{ prefix = \"/api/r{route}/\" }}\n\
                     upstream = \"origin\"\n\
                     request = {{ set = {{ X-Api-Version = \"2\", X-Route = \"r{route}\" }}, \
                     remove = [\"X-Debug\"] }}\n\
                     response = {{ set = {{ X-Content-Type-Options = \"nosniff\" }}, remove = [\"Server\"] }}"
                );
            }
        }
        Variant::AccessLog => text = text.replace("access = \"off\"", "access = \"@LOG@\""),
        Variant::TwoWorkers => text = text.replace("workers = 1", "workers = 2"),
        Variant::Plain | Variant::Unbuffered | Variant::Reloaded => {}
    }
    text
}

fn nginx(variant: Variant, form: &str) -> String {
    match variant {
        Variant::AccessLog => form.replace(
            "access_log off;",
            "log_format json escape=json '{\"time\":\"$time_iso8601\",\"client\":\"$remote_addr\",\
             \"method\":\"$request_method\",\"path\":\"$request_uri\",\"status\":$status,\"bytes\":$body_bytes_sent,\
             \"seconds\":$request_time,\"upstream\":\"$upstream_addr\",\
             \"upstream_seconds\":\"$upstream_response_time\",\
             \"host\":\"$host\",\"agent\":\"$http_user_agent\"}';\n  access_log @LOG@ json buffer=64k flush=1s;",
        ),
        Variant::Unbuffered => form.replace(
            "proxy_http_version 1.1;",
            "proxy_http_version 1.1;\n      proxy_request_buffering off;\n      proxy_buffering off;",
        ),
        Variant::TwoWorkers => form.replace("worker_processes 1;", "worker_processes 2;"),
        Variant::Plain | Variant::Routes | Variant::Scraped | Variant::Reloaded => form.to_owned(),
    }
}

fn haproxy(variant: Variant, form: &str) -> String {
    match variant {
        // Its standard output is a file here.
        Variant::AccessLog => {
            let to = form.replace("  maxconn 8000\n", "  maxconn 8000\n  log stdout format raw local0\n");
            let line = "  mode http\n  log global\n  log-format '{\"time\":\"%t\",\"client\":\"%ci\",\
                        \"method\":\"%HM\",\"path\":\"%HU\",\"status\":%ST,\"bytes\":%B,\"ms\":%Ta,\
                        \"upstream\":\"%si:%sp\",\"upstream_ms\":%Tr}'\n";
            to.replace("  mode http\n", line)
        }
        Variant::TwoWorkers => form.replace("nbthread 1", "nbthread 2"),
        Variant::Plain | Variant::Routes | Variant::Scraped | Variant::Reloaded | Variant::Unbuffered => {
            form.to_owned()
        }
    }
}

/// The same configuration with a change that alters no answer, to be loaded again. Each turn differs from the last.
pub(crate) fn changed(text: &str, turn: u64) -> String {
    let seconds = 60 + turn % 2;
    text.replace("upstream = \"origin\"\n", &format!("upstream = \"origin\"\ntimeout = \"{seconds}s\"\n"))
}

#[cfg(test)]
impl Place {
    pub(crate) fn of_test() -> Self {
        let address = |port: u16| SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
        Self {
            folder: PathBuf::from("/folder"),
            listen: address(1001),
            metrics: address(1002),
            origin: address(1003),
            wire: Wire::PLAIN,
            secrets: PathBuf::from("/secrets"),
            cpus: vec![1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_changes_its_file_and_no_marker_is_left() {
        for (kind, variants) in [
            (Kind::Ringway, &[Variant::Routes, Variant::AccessLog, Variant::TwoWorkers, Variant::Plain][..]),
            (Kind::Nginx, &[Variant::AccessLog, Variant::TwoWorkers, Variant::Unbuffered, Variant::Plain]),
            (Kind::Haproxy, &[Variant::AccessLog, Variant::TwoWorkers, Variant::Plain]),
            (Kind::H2o, &[Variant::Plain]),
            (Kind::Floor, &[Variant::Plain]),
        ] {
            let of = |variant| text(Subject::plain(kind).with(variant), &Place::of_test());
            let plain = of(Variant::Plain);
            for variant in variants {
                let text = of(*variant);
                assert!(!text.contains('@'), "{kind:?} {variant:?}: {text}");
                assert_eq!(text == plain, *variant == Variant::Plain, "{kind:?} {variant:?}");
            }
        }
    }

    #[test]
    fn a_wire_changes_the_file_of_each_target_that_a_scenario_has_on_it() {
        for scenario in crate::scenario::SCENARIOS.iter().filter(|scenario| scenario.wire != Wire::PLAIN) {
            for subject in scenario.subjects {
                let of = |wire| text(*subject, &Place { wire, ..Place::of_test() });
                let (plain, wired) = (of(Wire::PLAIN), of(scenario.wire));
                assert!(!wired.contains('@'), "{}: {wired}", scenario.name);
                // HTTP/2 in clear needs no word of ours, and the floor and the origin take whatever comes.
                let is_same = match subject.kind {
                    Kind::Floor | Kind::Direct => true,
                    Kind::Ringway => !scenario.wire.is_tls() && scenario.wire.origin == Origin::Http1,
                    Kind::Nginx | Kind::Haproxy | Kind::H2o | Kind::Pingora | Kind::Url => false,
                };
                assert_eq!(plain == wired, is_same, "{}: {subject:?}", scenario.name);
            }
        }
    }

    #[test]
    fn a_reload_has_something_to_do_each_time() {
        let text = text(Subject::plain(Kind::Ringway), &Place::of_test());
        assert_ne!(changed(&text, 0), changed(&text, 1));
        assert_eq!(changed(&text, 0), changed(&text, 2));
        assert_ne!(changed(&text, 0), text);
    }
}
