//! The process-wide limits of connections: touched once per accept and once per close, never per request.

use std::net::IpAddr;
use std::sync::Arc;

/// Counts connections over all workers.
#[derive(Debug)]
pub struct ConnectionCap {
    _private: (),
}

/// Why a connection may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `max_connections`.
    Full,
    /// `connections_per_ip`.
    PerIp,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _private: (),
}

impl ConnectionCap {
    /// A cap.
    pub fn new(_connections_max: usize) -> Arc<Self> {
        todo!()
    }
    /// Moves the cap, on reload.
    pub fn set_max(&self, _connections_max: usize) {
        todo!()
    }
    /// Takes a place.
    pub fn try_enter(self: &Arc<Self>, _ip: IpAddr, _per_ip: Option<u32>) -> Result<Permit, Refusal> {
        todo!()
    }
}
