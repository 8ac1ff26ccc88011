//! The arithmetic of rounds: medians, ratios of pairs, and how sure they are.

/// What the values of some rounds come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    /// Where the median lies with 95 % confidence; none: there are too few values to say so.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) count: usize,
}

/// One round of one target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Round {
    /// A value for each column, where there is one.
    pub(crate) values: Vec<Option<f64>>,
    /// How much of its CPU the target used, and how much it had to wait for it, in percent.
    pub(crate) busy: Option<f64>,
    pub(crate) waited: Option<f64>,
    /// Whether it counts.
    pub(crate) is_kept: bool,
}

/// Others had the target's CPU for more of the window than this: the round is left out.
const SHARED_MAX: f64 = 5.0;
/// A saturated target used less of its CPU than in its median round, by more than this: the round is left out.
const BUSY_DROP: f64 = 5.0;

/// The median of some values; none if there are none.
pub(crate) fn summary(mut values: Vec<f64>) -> Option<Summary> {
    values.sort_by(f64::total_cmp);
    let (least, greatest) = (*values.first()?, *values.last()?);
    let interval = rank(values.len()).and_then(|rank| {
        // Counted from either end.
        Some((*values.get(rank - 1)?, *values.get(values.len() - rank)?))
    });
    Some(Summary { median: middle(&values)?, least, greatest, interval, count: values.len() })
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The greatest rank so that the median of all rounds there might be lies, in at least 95 of 100 cases, between the
/// values of that rank from below and from above. It follows from counting signs alone, whatever the values'
/// distribution.
fn rank(count: usize) -> Option<usize> {
    // The chance that at most `below` of `count` values lie below the median, by adding binomial terms.
    let power = i32::try_from(count).ok()?;
    let mut term = 0.5_f64.powi(power);
    let (mut sum, mut rank) = (0.0, 0);
    for below in 0..count {
        sum += term;
        if sum > 0.025 {
            break;
        }
        rank = below + 1;
        term *= ratio_of(count - below, below + 1);
    }
    (rank > 0).then_some(rank)
}

#[expect(clippy::cast_precision_loss, reason = "counts of rounds are small")]
fn ratio_of(count: usize, to: usize) -> f64 {
    count as f64 / to as f64
}

/// Ratios of the first column, of rounds that both have kept.
pub(crate) fn paired(own: &[Round], other: &[Round]) -> Vec<f64> {
    let ratio = |(own, other): (&Round, &Round)| {
        let first = |round: &Round| round.values.first().copied().flatten().filter(|_| round.is_kept);
        let (value, other) = first(own).zip(first(other))?;
        (other > 0.0).then(|| value / other)
    };
    own.iter().zip(other).filter_map(ratio).collect()
}

/// Values of a column in the rounds that count.
pub(crate) fn kept(rounds: &[Round], column: usize) -> Vec<f64> {
    rounds
        .iter()
        .filter(|round| round.is_kept)
        .filter_map(|round| round.values.get(column).copied().flatten())
        .collect()
}

/// Marks the rounds in which the target shared its CPUs with others. `cpus`: how many it has to itself.
pub(crate) fn leave_out(rounds: &mut [Round], saturates: bool, cpus: u32) {
    let whole = f64::from(cpus) * 100.0;
    let mut busy: Vec<f64> = rounds.iter().filter_map(|round| round.busy).collect();
    busy.sort_by(f64::total_cmp);
    let usual = middle(&busy).filter(|_| saturates);
    for round in rounds {
        // Threads of a target also wait for one another. What others had is at most what the target had not.
        let unused = round.busy.map_or(whole, |busy| (whole - busy).max(0.0));
        let shared = round.waited.is_some_and(|waited| waited.min(unused) > SHARED_MAX);
        let idle = round.busy.zip(usual).is_some_and(|(busy, usual)| busy < usual - BUSY_DROP);
        round.is_kept = !shared && !idle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(value: f64) -> Round {
        Round { values: vec![Some(value), None], busy: Some(99.0), waited: Some(0.0), is_kept: true }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middle_ones() {
        let of = |values: &[f64]| summary(values.to_vec()).map(|summary| summary.median);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let one = Summary { median: 7.0, least: 7.0, greatest: 7.0, interval: None, count: 1 };
        assert_eq!(summary(vec![7.0]), Some(one));
        assert_eq!(summary(Vec::new()), None);
    }

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        // As in published tables: the rank for a two-sided 95 % interval of the median.
        for (count, expected) in [
            (5, None),
            (6, Some(1)),
            (8, Some(1)),
            (9, Some(2)),
            (12, Some(3)),
            (20, Some(6)),
            (50, Some(18)),
        ] {
            assert_eq!(rank(count), expected, "{count}");
        }
        let values = (1..=20).map(f64::from).collect();
        assert_eq!(summary(values).unwrap().interval, Some((6.0, 15.0)));
    }

    #[test]
    fn a_ratio_is_of_one_round_and_not_of_the_medians() {
        // Everything took twice as long in the second round.
        let own = [round(1.0), round(2.0), round(9.0)];
        let mut other = [round(2.0), round(4.0), round(1.0)];
        other[2].is_kept = false;
        assert_eq!(paired(&own, &other), [0.5, 0.5]);
        assert_eq!(paired(&other, &own), [2.0, 2.0]);
        assert_eq!(kept(&other, 0), [2.0, 4.0]);
        assert!(kept(&other, 1).is_empty() && kept(&other, 2).is_empty());
        other[0].values[0] = Some(0.0);
        assert_eq!(paired(&own, &other), [0.5], "nothing is a multiple of zero");
    }

    #[test]
    fn rounds_of_a_shared_cpu_are_left_out() {
        let mut rounds: Vec<_> = (0..5).map(|_| round(1.0)).collect();
        (rounds[0].waited, rounds[0].busy) = (Some(6.0), Some(94.0));
        (rounds[3].waited, rounds[3].busy) = (Some(20.0), Some(99.0));
        rounds[1].busy = Some(90.0);
        rounds[2].busy = Some(96.0);
        leave_out(&mut rounds, true, 1);
        let kept = |rounds: &[Round]| rounds.iter().map(|round| round.is_kept).collect::<Vec<_>>();
        assert_eq!(kept(&rounds), [false, false, true, true, true]);
        leave_out(&mut rounds, false, 1);
        assert_eq!(kept(&rounds), [false, true, true, true, true], "nothing is said of a target with slack");
        // A target that never gets enough to do is compared with itself, and its rounds count.
        let mut slack: Vec<_> = (0..3).map(|_| Round { busy: Some(70.0), ..round(1.0) }).collect();
        leave_out(&mut slack, true, 1);
        assert_eq!(kept(&slack), [true, true, true]);
        // With two CPUs a target that waits while half of them is not used has waited for others.
        let mut two = [Round { busy: Some(100.0), waited: Some(30.0), ..round(1.0) }];
        leave_out(&mut two, false, 2);
        assert_eq!(kept(&two), [false]);
        leave_out(&mut two, false, 1);
        assert_eq!(kept(&two), [true]);
    }
}
