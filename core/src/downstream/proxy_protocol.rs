//! x
use std::net::SocketAddr;
/// x
pub enum Proxied {
    /// x
    Local,
    /// x
    Addresses {
        /// x
        source: SocketAddr,
        /// x
        destination: SocketAddr,
    },
    /// x
    Unspecified,
}
/// x
pub fn parse(_b: &[u8]) -> Result<Option<(usize, Proxied)>, ()> {
    todo!()
}
