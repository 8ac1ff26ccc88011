//! What each target is told to do: the files in `targets/`, with what a variant changes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::scenario::ROUTES;
use crate::targets::{Kind, Subject, Variant};

/// Where a target is to listen and to write, and whom it serves.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its own, for whatever it writes.
    pub(crate) folder: PathBuf,
    pub(crate) listen: SocketAddr,
    /// For its metrics.
    pub(crate) metrics: SocketAddr,
    pub(crate) origin: SocketAddr,
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
    text.replace("@LISTEN@", &place.listen.to_string())
        .replace("@ORIGIN@", &place.origin.to_string())
        .replace("@METRICS@", &place.metrics.to_string())
        .replace("@PORT@", &place.listen.port().to_string())
        .replace("@LOG@", &place.access_log().display().to_string())
        .replace("@FOLDER@", &place.folder.display().to_string())
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
    fn a_reload_has_something_to_do_each_time() {
        let text = text(Subject::plain(Kind::Ringway), &Place::of_test());
        assert_ne!(changed(&text, 0), changed(&text, 1));
        assert_eq!(changed(&text, 0), changed(&text, 2));
        assert_ne!(changed(&text, 0), text);
    }
}
