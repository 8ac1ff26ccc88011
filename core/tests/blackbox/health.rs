//! Active checks of endpoints that speak HTTP/2, by path and by the standard gRPC health protocol.

use std::fmt::Display;

use crate::support::h2::END_STREAM;
use crate::support::{
    Authority, Gateway, GrpcServer, H2Origin, Leaf, Origin, eventually, fresh_dir, grpc_client, ok,
    own_address,
};

/// A gateway that checks an endpoint often, with these keys on the upstream.
fn checking(endpoint: impl Display, keys: &str) -> Gateway {
    Gateway::start(&configuration(endpoint, keys))
}

fn configuration(endpoint: impl Display, keys: &str) -> String {
    format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"app\"\n\
         [upstreams.app]\nendpoints = [\"{endpoint}\"]\n{keys}\n"
    )
}

/// The keys of a check that is made often and believed at once.
fn often(question: &str) -> String {
    format!(
        "health = {{ {question}, interval = \"100ms\", unhealthy_after = 1, healthy_after = 1 }}\n\
         protocol = \"http2\"\n"
    )
}

/// Another gateway as an endpoint that speaks HTTP/2: what it answers to whom is in its access log.
fn endpoint(status: u16, body: &str) -> String {
    format!(
        "[routes.health]\nmatch = {{ path = \"/health\" }}\nrespond = {{ status = {status} }}\n\
         [routes.call]\nmatch = {{ prefix = \"/grpc.health.v1.Health/\" }}\nrespond = {{ body = \"{body}\" }}\n"
    )
}

#[test]
fn a_path_is_asked_for_over_http2() {
    let origin = Gateway::start(&endpoint(200, ""));
    let gateway = checking(origin.at(8080), &often("path = \"/health\", host = \"app.example\""));
    origin.line_with(&["\"/health\"", "\"HTTP/2.0\"", "\"app.example\"", "ringway-health", "\"status\":200"]);
    assert!(!gateway.output().contains("health.down"));
    origin.reload(&endpoint(500, ""));
    gateway.line_with(&["health.down", "status 500"]);
    origin.reload(&endpoint(200, ""));
    gateway.line_with(&["health.up"]);
}

#[test]
fn an_answer_that_is_no_grpc_is_no_health() {
    let none = "[routes.other]\nmatch = { path = \"/other\" }\nrespond = \"ready\"\n".to_owned();
    for (origin, expected) in [
        (none, "gRPC status 12, UNIMPLEMENTED"),
        (endpoint(200, ""), "the answer has no grpc-status"),
        (endpoint(200, &"x".repeat(4_101)), "the answer has no grpc-status"),
        (endpoint(200, &"x".repeat(4_102)), "the message is too long"),
    ] {
        let origin = Gateway::start(&origin);
        let gateway = checking(origin.at(8080), &often("grpc = true"));
        gateway.line_with(&["health.down", expected]);
        origin.line_with(&["POST", "/grpc.health.v1.Health/Check", "\"HTTP/2.0\""]);
    }
}

#[test]
fn who_does_not_speak_http2_or_nothing_at_all_is_unhealthy() {
    let old = Origin::start(|visit| visit.send(ok("x")));
    let silent = Origin::start(|visit| {
        visit.until_peer_leaves();
        visit.close();
    });
    let refused = Origin::nowhere();
    for question in ["path = \"/health\"", "grpc = true"] {
        let gateway = checking(old.address(), &often(question));
        gateway.line_with(&["health.down", "connection"]);
        let gateway = checking(silent.address(), &often(question));
        gateway.line_with(&["health.down", "timed out"]);
        let gateway = checking(&refused, &often(question));
        gateway.line_with(&["health.down", "refused"]);
    }
}

#[test]
fn what_alpn_chooses_is_what_checks_speak() {
    let authority = Authority::new(&fresh_dir());
    authority.issue("origin", &Leaf::of(&["origin.example"]));
    let ca = authority.dir().join("ca.pem");
    let tls = format!("tls = {{ server_name = \"origin.example\", ca = \"{}\" }}\n", ca.display());
    let auto = |question: &str| often(question).replace("http2", "auto") + &tls;
    let origin = Origin::start_tls(authority.server("origin"), |visit| visit.send(ok("x")));
    let _asks = checking(origin.address(), &auto("path = \"/well\""));
    eventually("it is asked", || origin.heads().iter().any(|head| head.starts_with("GET /well HTTP/1.1")));
    let gateway = checking(origin.address(), &auto("grpc = true"));
    gateway.line_with(&["health.down", "it chose HTTP/1.1, and gRPC needs HTTP/2"]);
    let gateway = checking(origin.address(), &(often("path = \"/well\"") + &tls));
    gateway.line_with(&["health.down", "TLS: "]);

    let dir = fresh_dir();
    let names = ["pem", "key"].map(|end| authority.dir().join(format!("origin.{end}")));
    let listener = format!(
        "[listeners.tls]\nbind = \"GATEWAY:8443\"\ntls = {{ cert = \"{}\", key = \"{}\" }}\n",
        names[0].display(),
        names[1].display()
    );
    let origin = Gateway::start_at(&dir, own_address(), &(endpoint(200, "") + &listener));
    let _asks = checking(origin.at(8443), &auto("path = \"/health\", host = \"origin.example\""));
    origin.line_with(&["\"/health\"", "\"HTTP/2.0\"", "\"status\":200"]);
    let gateway = checking(origin.at(8443), &auto("grpc = true"));
    origin.line_with(&["POST", "\"origin.example\"", "\"HTTP/2.0\"", "\"status\":200"]);
    gateway.line_with(&["health.down", "the answer has no grpc-status"]);
}

#[test]
fn a_call_says_what_it_wants_and_serving_is_well() {
    let origin = H2Origin::start(|peer, number| {
        while let Some((stream, _)) = peer.request() {
            // The first check meets an endpoint that does not serve.
            let serving = if number == 1 { 2 } else { 1 };
            peer.head(stream, &[(":status", "200"), ("content-type", "application/grpc")], 0);
            peer.data(stream, &[0, 0, 0, 0, 2, 8, serving], 0);
            peer.head(stream, &[("grpc-status", "0")], END_STREAM);
        }
    });
    let question = "grpc = \"shop.Orders\", interval = \"100ms\", timeout = \"100ms\"";
    let keys = format!("health = {{ {question}, unhealthy_after = 1, healthy_after = 1 }}");
    let gateway = Gateway::start(&origin.proxying_with(&keys));
    gateway.line_with(&["health.down", "it is NOT_SERVING"]);
    gateway.line_with(&["health.up"]);
    let asked = origin.requests().swap_remove(0);
    assert_eq!(asked.body, b"\0\0\0\0\x0d\x0a\x0bshop.Orders");
    for (name, value) in [
        (":method", "POST"),
        (":path", "/grpc.health.v1.Health/Check"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "100000u"),
        ("user-agent", "ringway-health"),
    ] {
        assert!(asked.heads[0].contains(&(name.into(), value.into())), "{name} in {:?}", asked.heads[0]);
    }
    eventually("no connection is kept after its check", || origin.open_connections() <= 1);
}

/// Sets what a service says of itself.
fn set(server: &GrpcServer, service: &str, status: u8) {
    let words = ["call", "/ringway.Test/Serve", &format!("{service} {status}")];
    let output = grpc_client(server.address(), &words).expect("the service runs on the same Python");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_service_falls_and_rises_by_what_it_says_of_itself() {
    let Some(server) = GrpcServer::start() else { return };
    set(&server, "shop.Orders", 1);
    let gateway = checking(server.address(), &often("grpc = \"shop.Orders\""));
    let whole = checking(server.address(), &often("grpc = true"));
    eventually("the service is asked for requests", || gateway.client().get("/").status != 503);
    set(&server, "shop.Orders", 2);
    gateway.line_with(&["health.down", "it is NOT_SERVING"]);
    eventually("it gets no requests", || gateway.client().get("/").status == 503);
    set(&server, "shop.Orders", 1);
    gateway.line_with(&["health.up"]);
    eventually("it gets requests again", || gateway.client().get("/").status != 503);
    assert!(!whole.output().contains("health.down"), "the endpoint as a whole serves all the time");
}

#[test]
fn a_service_that_nobody_knows_is_unhealthy() {
    let Some(server) = GrpcServer::start() else { return };
    let gateway = checking(server.address(), &often("grpc = \"shop.Nothing\""));
    gateway.line_with(&["health.down", "gRPC status 5, NOT_FOUND"]);
}

#[test]
fn services_are_asked_over_tls() {
    let authority = Authority::new(&fresh_dir());
    authority.issue("origin", &Leaf::of(&["origin.example"]));
    let names = ["key", "pem"].map(|end| authority.dir().join(format!("origin.{end}")));
    let Some(server) = GrpcServer::start_with(&[&names[0], &names[1]]) else { return };
    let ca = authority.dir().join("ca.pem");
    let tls = format!("tls = {{ server_name = \"origin.example\", ca = \"{}\" }}\n", ca.display());
    for protocol in ["http2", "auto"] {
        let keys = |service: &str| often(service).replace("http2", protocol) + &tls;
        let gateway = checking(server.address(), &keys("grpc = \"shop.Nothing\""));
        gateway.line_with(&["health.down", "gRPC status 5, NOT_FOUND"]);
        gateway.reload(&configuration(server.address(), &keys("grpc = true")));
        gateway.line_with(&["health.up"]);
    }
}
