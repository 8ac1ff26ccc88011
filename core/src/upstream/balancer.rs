//! Smooth weighted round-robin: each pick adds every candidate's weight to its standing, the highest standing goes, and pays the sum.
//! Over any span the shares are exact and spread out (5, 1, 1 gives a a b a c a a, never five in a row).

use std::cell::Cell;
use std::rc::Rc;

use super::Seat;

/// A member's standing in the round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    standing: Cell<i64>,
}

/// Picks among the seats that `admits` lets in.
pub(super) fn pick(seats: &[Rc<Seat>], admits: impl Fn(&Seat) -> bool) -> Option<Rc<Seat>> {
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
