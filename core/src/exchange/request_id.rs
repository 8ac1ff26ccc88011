//! Request ids: 32 hexadecimal digits, a random half per worker and a scattered counter.

use std::cell::Cell;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes ids that differ over workers and restarts.
#[derive(Debug)]
pub(crate) struct RequestIds {
    worker: u64,
    next: Cell<u64>,
}

impl RequestIds {
    /// Seeded by the operating system's randomness (what `RandomState` is keyed with).
    pub(crate) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self { worker: random(), next: Cell::new(random()) }
    }

    /// Appends a new id.
    pub(crate) fn append(&self, out: &mut String) {
        let n = self.next.get().wrapping_add(1);
        self.next.set(n);
        let _ = write!(out, "{:016x}{:016x}", self.worker, scatter(n));
    }
}

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
