//! Smooth weighted round-robin: each pick adds every candidate's weight to its standing, the highest standing goes,
//! and pays the sum. Over any span the shares are exact and spread out (5, 1, 1 gives a a b a c a a, never five in a
//! row).

use std::cell::Cell;
use std::rc::Rc;

use super::Seat;

/// A member's standing in the round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    standing: Cell<i64>,
}

/// Picks among the seats that `admits` lets in.
pub(crate) fn pick(seats: &[Rc<Seat>], admits: impl Fn(&Seat) -> bool) -> Option<Rc<Seat>> {
    if let [only] = seats {
        return admits(only).then(|| Rc::clone(only));
    }
    let mut total = 0;
    let mut best: Option<&Rc<Seat>> = None;
    for seat in seats.iter().filter(|seat| admits(seat)) {
        let weight = i64::from(seat.member.weight);
        total += weight;
        seat.turn.standing.set(seat.turn.standing.get() + weight);
        if best.is_none_or(|other| seat.turn.standing.get() > other.turn.standing.get()) {
            best = Some(seat);
        }
    }
    let best = best?;
    best.turn.standing.set(best.turn.standing.get() - total);
    Some(Rc::clone(best))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::SocketAddress;
    use crate::shard::{Shard, Writer};
    use crate::upstream::{Pools, Terms};
    use crate::worker::inbox::Member;

    fn seats(weights: &[u32]) -> Vec<Rc<Seat>> {
        let pools = Pools::new(Rc::new(Writer::new(Shard::new(16))));
        let name: Arc<str> = "a".into();
        let seat = |(port, &weight): (u16, &u32)| {
            let address = SocketAddress::Tcp(([127, 0, 0, 1], port).into());
            let endpoint = Arc::from(port.to_string());
            let host = Arc::from("a");
            let member = Member { endpoint, metric: 0, address, host, weight, healthy: true };
            let pool = pools.pool(&name, &member, Terms::LEAST, None);
            Rc::new(Seat { member, pool, turn: Turn::default() })
        };
        (0..).zip(weights).map(seat).collect()
    }

    fn picks(seats: &[Rc<Seat>], n: usize) -> String {
        (0..n)
            .map(|_| {
                pick(seats, |_| true).map_or_else(|| "-".to_owned(), |seat| seat.member.endpoint.to_string())
            })
            .collect()
    }

    #[test]
    fn shares_are_smooth_and_exact() {
        for (weights, expected) in [
            (&[5, 1, 1][..], "00102000010200"),
            (&[100, 50], "010010010"),
            (&[1, 1], "010101"),
            (&[7], "000"),
            (&[], "---"),
        ] {
            assert_eq!(picks(&seats(weights), expected.len()), expected, "{weights:?}");
        }
    }

    #[test]
    fn who_is_not_admitted_is_passed_over_and_keeps_no_debt() {
        let seats = seats(&[1, 1, 1]);
        for _ in 0..10 {
            let seat = pick(&seats, |seat| &*seat.member.endpoint != "1");
            assert!(seat.is_some_and(|seat| &*seat.member.endpoint != "1"));
        }
        assert_eq!(picks(&seats, 6).matches('1').count(), 2);
    }
}
