//! The nearest valid word to a mistyped one, for error messages.

/// The candidate with the fewest edits to `word`, without regard to case; none if all are too far to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let edits_max = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edits(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut from_previous = None;
    for (row, from_char) in from.chars().enumerate() {
        let mut current = Vec::with_capacity(to.len() + 1);
        let mut left = row + 1;
        current.push(left);
        let mut to_previous = None;
        for (column, &to_char) in to.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(from_char != to_char);
            let mut best = replaced.min(left + 1).min(at(&last, column + 1) + 1);
            if Some(to_char) == from_previous && to_previous == Some(from_char) {
                best = best.min(at(&before_last, column.wrapping_sub(1)) + 1);
            }
            current.push(best);
            left = best;
            to_previous = Some(to_char);
        }
        from_previous = Some(from_char);
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let words = ["set", "add", "remove", "rename", "request_id"];
        for (typed, expected) in [
            ("sett", Some("set")),
            ("est", Some("set")),
            ("Add", Some("add")),
            ("renam", Some("rename")),
            ("remov", Some("remove")),
            ("requestid", Some("request_id")),
            ("reqeust_id", Some("request_id")),
            ("connection", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, words), expected, "{typed}");
        }
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        for (from, to, count) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("abcd", "acbd", 1),
        ] {
            assert_eq!(edits(from, to), count, "{from} {to}");
        }
    }
}
