//! Black-box tests: the built gateway, scripted origins and raw clients on loopback sockets. Each test reads as
//! origin, gateway, client, assert. One binary for all topics, so that the support is built once;
//! `cargo test --test blackbox strict::` runs a topic.

#[cfg(test)]
mod balance;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forwarded;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod grpc_web;
#[cfg(test)]
mod h2_bodies;
#[cfg(test)]
mod h2_exchanges;
#[cfg(test)]
mod h2_floods;
#[cfg(test)]
mod h2_lanes;
#[cfg(test)]
mod h2_life;
#[cfg(test)]
mod h2_origins;
#[cfg(test)]
mod h2_smuggling;
#[cfg(test)]
mod h2_upstream;
#[cfg(test)]
mod h2spec;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod health;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod pressure;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod static_files;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tls_clients;
#[cfg(test)]
mod tls_upstream;
#[cfg(test)]
mod unix;
#[cfg(test)]
mod websocket;
