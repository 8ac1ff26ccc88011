//! An address as text, without the detour over the formatter: it is written once or twice for each request.

use std::io::Write;
use std::net::IpAddr;

/// Bytes of the longest, an IPv6 address with the digits of an IPv4 one.
const BYTES_MAX: usize = 45;

/// An address as it is written.
#[derive(Debug, Clone, Copy)]
pub struct AddressText {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl AddressText {
    /// Writes an address, one of IPv4 as such even inside IPv6.
    pub fn new(address: IpAddr) -> Self {
        let mut text = Self { bytes: [0; BYTES_MAX], len: 0 };
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                text.octet(a);
                for octet in [b, c, d] {
                    text.push(b'.');
                    text.octet(octet);
                }
            }
            IpAddr::V6(address) => {
                let mut rest = text.bytes.as_mut_slice();
                // The longest fits.
                let _ = write!(rest, "{address}");
                text.len = BYTES_MAX - rest.len();
            }
        }
        text
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn octet(&mut self, octet: u8) {
        if octet >= 100 {
            self.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            self.push(b'0' + octet / 10 % 10);
        }
        self.push(b'0' + octet % 10);
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn addresses_are_written_as_the_formatter_writes_them() {
        let mut addresses: Vec<IpAddr> = (0..=255)
            .map(|n: u8| IpAddr::V4(Ipv4Addr::new(n, 255 - n, n.wrapping_mul(7), n.wrapping_add(100))))
            .collect();
        addresses.extend(
            [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, Ipv6Addr::from([0xffff; 8])].map(IpAddr::V6),
        );
        addresses.extend(
            ["2001:db8::1", "64:ff9b::255.255.255.255", "1:2:3:4:5:6:7:8"]
                .map(|a| a.parse::<IpAddr>().unwrap()),
        );
        for address in addresses {
            assert_eq!(AddressText::new(address).as_bytes(), address.to_string().as_bytes());
        }
        let mapped = AddressText::new("::ffff:192.0.2.7".parse().unwrap());
        assert_eq!(mapped.as_bytes(), b"192.0.2.7");
    }
}
