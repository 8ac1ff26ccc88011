//! Request ids: 32 hexadecimal digits, a random half per worker and a scattered counter.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes ids that differ over workers and restarts.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// The first half of every id, as digits.
    worker: [u8; 16],
    next: Cell<u64>,
}

impl RequestIds {
    /// Seeded by the operating system's randomness (what `RandomState` is keyed with).
    pub(crate) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self { worker: digits(random()), next: Cell::new(random()) }
    }

    /// Appends a new id.
    pub(crate) fn append(&self, out: &mut String) {
        let n = self.next.get().wrapping_add(1);
        self.next.set(n);
        for half in [self.worker, digits(scatter(n))] {
            // Hexadecimal digits are text.
            out.push_str(std::str::from_utf8(&half).unwrap_or_default());
        }
    }
}

/// The hexadecimal digits of a number, zeros in front included.
fn digits(n: u64) -> [u8; 16] {
    // Each nibble on a byte of its own, the highest first in memory.
    let mut bytes = u128::from(n);
    for (bits, mask) in [
        (32, 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff),
        (16, 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff),
        (4, EACH * 0x0f),
    ] {
        bytes = (bytes | bytes << bits) & mask;
    }
    // Those above nine carry into the upper half of their byte.
    let letters = (bytes + EACH * 6) >> 4 & EACH;
    (bytes + EACH * u128::from(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// One in each byte.
const EACH: u128 = u128::MAX / 0xff;

/// A bijection of the 64-bit numbers (splitmix64's finaliser), so that neighbours do not look alike and none is given
/// twice.
fn scatter(n: u64) -> u64 {
    let a = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_formatter() {
        for n in [0, 1, 9, 10, 15, 16, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX]
            .into_iter()
            .chain((0..1000).map(scatter))
        {
            assert_eq!(digits(n).as_slice(), format!("{n:016x}").as_bytes());
        }
    }

    #[test]
    fn ids_are_32_hex_digits_and_differ() {
        let ids = RequestIds::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let mut id = String::new();
            ids.append(&mut id);
            assert_eq!(id.len(), 32);
            assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(seen.insert(id));
        }
    }
}
