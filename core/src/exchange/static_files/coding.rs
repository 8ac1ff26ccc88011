//! Precompressed variants, and which of them a client accepts (RFC 9110, 12.5.3).

/// A content coding that a file beside the file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

/// In the order of preference: what is smallest first.
const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

impl Coding {
    /// As `Content-Encoding` says it.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// As the file's name ends.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }
}

/// The codings that a client accepts and does not like less than none, the best first. Without `Accept-Encoding`,
/// none.
pub(crate) fn accepted<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Coding> {
    let mut weights = [None; CODINGS.len()];
    let (mut any, mut identity) = (None, None);
    for item in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        let Ok(item) = std::str::from_utf8(item) else { continue };
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = Some(parts.find_map(weight).unwrap_or(1000));
        let is = |token: &str| name.eq_ignore_ascii_case(token);
        for (known, coding) in weights.iter_mut().zip(CODINGS) {
            if is(coding.token()) || coding == Coding::Gzip && is("x-gzip") {
                *known = weight;
            }
        }
        if is("*") {
            any = weight;
        } else if is("identity") {
            identity = weight;
        }
    }
    let least = identity.unwrap_or(0).max(1);
    let with_weight = CODINGS.into_iter().zip(weights.map(|known| known.or(any).unwrap_or(0)));
    let mut wanted: Vec<_> = with_weight.filter(|(_, weight)| *weight >= least).collect();
    wanted.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    wanted.into_iter().map(|(coding, _)| coding).collect()
}

/// A `q` in thousandths (RFC 9110, 12.4.2); what is none counts as 0, since it was meant to say less.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or_else(|| (value.trim(), ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = thousandths.fold(0, |sum, byte| sum * 10 + u16::from(byte.wrapping_sub(b'0')));
    Some(match (whole, digits) {
        ("0", true) => thousandths,
        ("1", true) if thousandths == 0 => 1000,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_chosen_by_weight_and_then_by_size() {
        for (value, tokens) in [
            ("", ""),
            ("gzip", "gzip"),
            ("gzip, br", "br gzip"),
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("br;q=0.5, gzip;q=0.8", "gzip br"),
            ("GZIP ; Q=1.0", "gzip"),
            ("x-gzip", "gzip"),
            ("br;q=0, *", "zstd gzip"),
            ("*;q=0", ""),
            ("*;q=0, gzip", "gzip"),
            ("identity", ""),
            ("identity;q=1, br;q=0.5", ""),
            ("identity;q=0.5, br;q=0.5", "br"),
            ("identity;q=0, *;q=0.1", "br zstd gzip"),
            ("br;q=0.001, gzip;q=0.01", "gzip br"),
            ("br;q=2", ""),
            ("br;q=0.1234", ""),
            ("br;q=x", ""),
            ("br;q=1.001", ""),
            ("br;level=4", "br"),
            (", ,;;=,", ""),
        ] {
            let chosen: Vec<_> =
                accepted([value.as_bytes()].into_iter()).into_iter().map(Coding::token).collect();
            assert_eq!(chosen.join(" "), tokens, "{value}");
        }
        let lines: [&[u8]; 2] = [b"gzip", b"br;q=0.1"];
        assert_eq!(accepted(lines.into_iter()), [Coding::Gzip, Coding::Brotli]);
        assert_eq!(accepted(std::iter::empty()), []);
    }
}
