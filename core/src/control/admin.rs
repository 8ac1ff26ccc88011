//! The admin pages: what runs, in JSON. They only read; the configuration is changed by its file.

use std::collections::BTreeMap;

use ringway_config::effective::effective;
use ringway_config::snapshot::{Respond, Terminal};

use super::serve::Reply;
use super::state::{Control, Phase, Standing, address_text};
use crate::log::json;
use crate::shard::Count;

/// A JSON value, as far as these pages need one.
enum Json {
    Text(String),
    Number(u64),
    Bool(bool),
    Null,
    List(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
}

impl Json {
    fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => json::string(out, text.as_bytes()),
            Self::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Self::Bool(is_so) => out.extend_from_slice(if *is_so { b"true" } else { b"false" }),
            Self::Null => out.extend_from_slice(b"null"),
            Self::List(values) => {
                out.push(b'[');
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    value.write(out);
                }
                out.push(b']');
            }
            Self::Object(pairs) => {
                out.push(b'{');
                for (at, (name, value)) in pairs.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    json::string(out, name.as_bytes());
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    fn reply(&self, status: u16) -> Reply {
        let mut body = Vec::new();
        self.write(&mut body);
        body.push(b'\n');
        Reply::json(status, body)
    }
}

impl Control {
    /// The admin server's answer to a path.
    pub(super) fn admin_page(&self, path: &str) -> Reply {
        match path {
            "/health" => {
                let status = Json::text(self.phase_word());
                Json::Object(vec![("status", status)]).reply(200)
            }
            "/status" => self.status().reply(200),
            "/upstreams" => self.upstreams().reply(200),
            "/routes" => self.routes().reply(200),
            "/config" => {
                let text = effective(&self.live.borrow().snapshot);
                Reply { status: 200, content_type: "application/toml", body: text.into() }
            }
            _ => {
                let pages = ["/health", "/status", "/upstreams", "/routes", "/config"].map(Json::text);
                Json::Object(vec![("error", Json::text("not found")), ("pages", Json::List(pages.into()))])
                    .reply(404)
            }
        }
    }

    fn phase_word(&self) -> &'static str {
        match self.live.borrow().phase {
            Phase::Resolving | Phase::Starting => "starting",
            Phase::Running => "healthy",
            Phase::Draining => "draining",
        }
    }

    fn status(&self) -> Json {
        let state = self.phase_word();
        let live = self.live.borrow();
        let (driver, flags) = self.drivers();
        let workers = self.workers.iter().enumerate().map(|(id, worker)| {
            let state = match &*worker.standing.borrow() {
                Standing::Starting => "starting",
                Standing::Running(_) => "running",
                Standing::Ended => "ended",
            };
            Json::Object(vec![
                ("worker", Json::Number(id as u64)),
                ("cpu", Json::Number(worker.cpu as u64)),
                ("state", Json::text(state)),
                ("epoch", Json::Number(worker.seated.get().0)),
                ("connections", Json::Number(worker.reader.count(Count::ConnectionsActive))),
            ])
        });
        let listeners = live.held.places(&live.snapshot).into_iter().map(|(name, address)| {
            Json::Object(vec![("listener", Json::text(&*name)), ("address", Json::Text(address))])
        });
        Json::Object(vec![
            ("status", Json::text(state)),
            ("version", Json::text(env!("CARGO_PKG_VERSION"))),
            ("epoch", Json::Number(live.snapshot.epoch.0)),
            ("uptime_seconds", Json::Number(self.clock.now().since(self.began).as_secs())),
            ("driver", Json::Text(driver)),
            ("flags", Json::Text(flags)),
            ("connections", Json::Number(self.connections.active() as u64)),
            ("workers", Json::List(workers.collect())),
            ("listeners", Json::List(listeners.collect())),
        ])
    }

    fn upstreams(&self) -> Json {
        let live = self.live.borrow();
        let upstreams =
            live.snapshot.upstreams.iter().zip(live.directory.iter()).map(|(upstream, members)| {
                let members: Vec<_> = members
                    .iter()
                    .map(|member| {
                        Json::Object(vec![
                            ("endpoint", Json::text(&*member.endpoint)),
                            ("address", Json::Text(address_text(&member.address))),
                            ("weight", Json::Number(member.weight.into())),
                            ("healthy", Json::Bool(member.healthy)),
                        ])
                    })
                    .collect();
                Json::Object(vec![
                    ("upstream", Json::text(&*upstream.name)),
                    ("checked", Json::Bool(upstream.health.is_some())),
                    ("members", Json::List(members)),
                ])
            });
        Json::Object(vec![("upstreams", Json::List(upstreams.collect()))])
    }

    fn routes(&self) -> Json {
        let live = self.live.borrow();
        let upstreams: BTreeMap<u32, &str> =
            (0..).zip(&live.snapshot.upstreams).map(|(id, upstream)| (id, &*upstream.name)).collect();
        let routes = live.snapshot.routes.all().iter().map(|route| {
            let (terminal, upstream) = match &route.terminal {
                Terminal::Proxy(id) => {
                    ("proxy", upstreams.get(&id.0).map_or(Json::Null, |name| Json::text(*name)))
                }
                Terminal::Static(_) => ("static", Json::Null),
                Terminal::Respond(Respond::Health) => ("health", Json::Null),
                Terminal::Respond(Respond::Ready) => ("ready", Json::Null),
                Terminal::Respond(Respond::Fixed { .. }) => ("respond", Json::Null),
            };
            Json::Object(vec![
                ("route", Json::text(&*route.name)),
                ("terminal", Json::text(terminal)),
                ("upstream", upstream),
                ("filters", Json::Number(route.filters.len() as u64)),
            ])
        });
        Json::Object(vec![("routes", Json::List(routes.collect()))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_json() {
        let value = Json::Object(vec![
            ("a", Json::List(vec![Json::Number(1), Json::Bool(true), Json::Null])),
            ("b", Json::text("x\"y")),
        ]);
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":[1,true,null],"b":"x\"y"}"#);
    }
}
