//! gRPC with a client and a service of another implementation: grpcio.

use std::net::SocketAddr;

use crate::support::{GrpcServer, grpc_client};

/// All cases of the client must pass at this address.
fn passes(address: SocketAddr, words: &[&str]) {
    let output = grpc_client(address, words).expect("the service runs on the same Python");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("ok unary"), "{said}");
}

#[test]
fn the_peers_understand_each_other_without_a_gateway() {
    let Some(server) = GrpcServer::start() else { return };
    passes(server.address(), &["check"]);
}
