//! The bytes of every body, by their place in it, so that either end can check what arrived without having kept what
//! was sent.

/// A body repeats after this many bytes: a prime, so that a block that was lost, doubled or moved shows.
const PERIOD: usize = 4093;
/// At most so many bytes are handed out at once.
const PIECE: usize = 256 * 1024;
/// Compared at once: what stays in a core's own cache.
const COMPARED: usize = 16 * 1024;

/// The first bytes of every body.
#[derive(Debug)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    pub(crate) fn new() -> Self {
        // A small generator, so that neighbours differ; letters, so that a person can look at them.
        let letter = |at: usize| {
            let mixed = (at % PERIOD).wrapping_mul(40_503).wrapping_add(7) >> 5;
            b'a' + u8::try_from(mixed % 26).unwrap_or(0)
        };
        Self((0..PIECE + PERIOD).map(letter).collect())
    }

    /// What stands at this place of a body: `most` bytes, or a piece.
    pub(crate) fn piece(&self, place: usize, most: usize) -> &[u8] {
        let from = place % PERIOD;
        self.0.get(from..from + most.min(PIECE)).unwrap_or_default()
    }

    /// Whether these bytes are what stands at this place.
    pub(crate) fn is_at(&self, mut place: usize, bytes: &[u8]) -> bool {
        bytes.chunks(COMPARED).all(|chunk| {
            let is_so = self.piece(place, chunk.len()) == chunk;
            place += chunk.len();
            is_so
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_place() {
        let body = Body::new();
        let mut whole = Vec::new();
        while whole.len() < 600_000 {
            whole.extend_from_slice(body.piece(whole.len(), 600_000 - whole.len()));
        }
        assert_eq!(whole.len(), 600_000);
        for place in [0, 1, 4092, 4093, 300_000] {
            assert!(body.is_at(place, &whole[place..]), "{place}");
        }
        assert!(!body.is_at(1, &whole) && !body.is_at(256 * 1024, &whole[..PERIOD]), "moved");
        whole[555_555] ^= 1;
        assert!(!body.is_at(0, &whole), "one bit");
        assert!(body.is_at(0, &[]));
    }
}
