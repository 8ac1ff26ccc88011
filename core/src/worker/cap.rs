//! How many client connections there may be, over all workers: in all, and of one address. Touched once when
//! a connection is accepted and once when it is gone, never by a request.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Why a connection may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `max_connections` are there.
    Full,
    /// `connections_per_ip` of its address are there.
    PerIp,
}

/// The process's count of client connections.
#[derive(Debug)]
pub struct ConnectionCap {
    /// `max_connections`; control changes it at a reload.
    max: AtomicUsize,
    /// Permits that are out.
    active: AtomicUsize,
    /// Made by the first connection that is held to a limit per address.
    per_ip: OnceLock<PerIp>,
}

impl ConnectionCap {
    /// A cap with nobody in.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: AtomicUsize::new(max), active: AtomicUsize::new(0), per_ip: OnceLock::new() })
    }

    /// Changes `max_connections`; those that are in stay.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// How many are in.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Lets one more in, until its permit is dropped. `per_ip` is the listener's `connections_per_ip`.
    pub fn try_enter(self: &Arc<Self>, ip: IpAddr, per_ip: Option<u32>) -> Result<Permit, Refusal> {
        let before = self.active.fetch_add(1, Ordering::Relaxed);
        // From here on the permit takes back what was counted.
        let mut permit = Permit { cap: Arc::clone(self), place: None };
        if before >= self.max.load(Ordering::Relaxed) {
            return Err(Refusal::Full);
        }
        if let Some(limit) = per_ip {
            let table = self.per_ip.get_or_init(|| PerIp::new(self.max.load(Ordering::Relaxed)));
            permit.place = table.enter(ip, limit)?;
        }
        Ok(permit)
    }
}

/// One connection's place; dropping it makes room.
#[derive(Debug)]
pub struct Permit {
    cap: Arc<ConnectionCap>,
    /// The slot that counts its address, when that is counted.
    place: Option<usize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.cap.active.fetch_sub(1, Ordering::Relaxed);
        if let (Some(place), Some(table)) = (self.place, self.cap.per_ip.get()) {
            table.leave(place);
        }
    }
}

/// Slots that an address may be in: four cache lines.
const WINDOW: usize = 32;
/// At least 512 KB of slots, because a reload may raise `max_connections`.
const SLOTS_MIN: usize = 1 << 16;
/// At most 8 MB of slots.
const SLOTS_MAX: usize = 1 << 20;
/// The low bits of a slot count; the rest is the address's tag.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Connections per address: a table of fixed size, a slot being a tag (40 bits of the address's hash, whose
/// key is the process's secret) and a count. A slot whose count is 0 is free.
///
/// With twice as many slots as connections a window is practically never full; were it, the connection would
/// enter uncounted.
#[derive(Debug)]
struct PerIp {
    slots: Box<[AtomicU64]>,
    hashing: RandomState,
}

impl PerIp {
    fn new(connections_max: usize) -> Self {
        let slots = connections_max.saturating_mul(2).clamp(SLOTS_MIN, SLOTS_MAX).next_power_of_two();
        Self { slots: (0..slots).map(|_| AtomicU64::new(0)).collect(), hashing: RandomState::new() }
    }

    /// Counts one connection of an address; says in which slot, or that its window is full.
    fn enter(&self, ip: IpAddr, limit: u32) -> Result<Option<usize>, Refusal> {
        let hash = self.hashing.hash_one(ip.to_canonical());
        let tag = hash >> COUNT_BITS;
        let first = usize::try_from(hash).unwrap_or(0) & (self.slots.len() - 1) & !(WINDOW - 1);
        loop {
            let Some((place, slot, seen)) = self.find(first, tag) else { return Ok(None) };
            let count = seen & COUNT_MASK;
            if count >= u64::from(limit).min(COUNT_MASK) {
                return Err(Refusal::PerIp);
            }
            let next = (tag << COUNT_BITS) | (count + 1);
            if slot.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                continue;
            }
            // Two workers may have taken a free slot each for one address: whoever sees two steps back and
            // looks again.
            if count == 0 && self.holders(first, tag) > 1 {
                self.leave(place);
                continue;
            }
            return Ok(Some(place));
        }
    }

    /// The address's slot, or else the first free one, with what it held.
    fn find(&self, first: usize, tag: u64) -> Option<(usize, &AtomicU64, u64)> {
        let mut free = None;
        for (place, slot) in self.window(first) {
            let seen = slot.load(Ordering::SeqCst);
            if seen & COUNT_MASK == 0 {
                free = free.or(Some((place, slot, seen)));
            } else if seen >> COUNT_BITS == tag {
                return Some((place, slot, seen));
            }
        }
        free
    }

    fn holders(&self, first: usize, tag: u64) -> usize {
        let is_holder = |slot: &AtomicU64| {
            let seen = slot.load(Ordering::SeqCst);
            seen & COUNT_MASK != 0 && seen >> COUNT_BITS == tag
        };
        self.window(first).filter(|(_, slot)| is_holder(slot)).count()
    }

    fn window(&self, first: usize) -> impl Iterator<Item = (usize, &AtomicU64)> {
        self.slots.iter().enumerate().skip(first).take(WINDOW)
    }

    fn leave(&self, place: usize) {
        if let Some(slot) = self.slots.get(place) {
            let before = slot.fetch_sub(1, Ordering::SeqCst);
            debug_assert!(before & COUNT_MASK > 0, "a permit is given back once");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_over_the_maximum_is_refused_until_one_leaves() {
        let cap = ConnectionCap::new(2);
        let first = cap.try_enter(ip("192.0.2.1"), None).unwrap();
        let _second = cap.try_enter(ip("192.0.2.1"), None).unwrap();
        assert_eq!(cap.try_enter(ip("192.0.2.1"), None).unwrap_err(), Refusal::Full);
        assert_eq!(cap.active(), 2);
        drop(first);
        assert!(cap.try_enter(ip("192.0.2.1"), None).is_ok());
    }

    #[test]
    fn one_over_the_limit_of_an_address_is_refused_and_others_are_not() {
        let cap = ConnectionCap::new(100);
        let first = cap.try_enter(ip("192.0.2.1"), Some(2)).unwrap();
        let _second = cap.try_enter(ip("::ffff:192.0.2.1"), Some(2)).unwrap();
        assert_eq!(cap.try_enter(ip("192.0.2.1"), Some(2)).unwrap_err(), Refusal::PerIp);
        assert!(cap.try_enter(ip("192.0.2.2"), Some(2)).is_ok());
        drop(first);
        assert!(cap.try_enter(ip("192.0.2.1"), Some(2)).is_ok());
        assert_eq!(cap.active(), 1);
    }

    #[test]
    fn a_refused_connection_is_not_counted() {
        let cap = ConnectionCap::new(5);
        let _held = cap.try_enter(ip("2001:db8::1"), Some(1)).unwrap();
        for _ in 0..100 {
            assert_eq!(cap.try_enter(ip("2001:db8::1"), Some(1)).unwrap_err(), Refusal::PerIp);
        }
        assert_eq!(cap.active(), 1);
    }

    #[test]
    fn everything_given_back_leaves_an_empty_table() {
        let cap = ConnectionCap::new(1000);
        let permits: Vec<_> =
            (0..1000u32).map(|n| cap.try_enter(IpAddr::from(n.to_be_bytes()), Some(3)).unwrap()).collect();
        drop(permits);
        assert_eq!(cap.active(), 0);
        let table = cap.per_ip.get().unwrap();
        assert!(table.slots.iter().all(|slot| slot.load(Ordering::Relaxed) & COUNT_MASK == 0));
    }

    #[test]
    fn threads_together_stay_within_the_limit() {
        let cap = ConnectionCap::new(10_000);
        let most = AtomicUsize::new(0);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        if let Ok(permit) = cap.try_enter(ip("192.0.2.9"), Some(2)) {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
        assert_eq!(cap.active(), 0);
    }
}
