//! A trie over pieces of text (the segments of paths, the labels of hosts) whose edges all live in one open-addressed
//! table: one step down costs one hash of one piece, however many children a node has.

use std::hash::Hasher;

/// No node, no bucket, no entry.
pub(super) const NONE: u32 = u32::MAX;

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Nodes with a value each, and the edges between them.
#[derive(Debug, Default)]
pub(super) struct Trie<V> {
    nodes: Vec<Node<V>>,
    /// The pieces on the edges, one after the other.
    text: String,
    /// A power of two, at most half full.
    slots: Vec<Slot>,
    edges: usize,
}

#[derive(Debug)]
struct Node<V> {
    start: u32,
    end: u32,
    value: V,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    parent: u32,
    child: u32,
}

const FREE: Slot = Slot { hash: 0, parent: NONE, child: NONE };

impl<V: Default> Trie<V> {
    /// Adds a node that no edge leads to: a root, or a child that its parent keeps by itself.
    pub(super) fn add(&mut self) -> u32 {
        self.push_node("")
    }

    /// The child over that edge, made if there is none.
    pub(super) fn child_or_add(&mut self, parent: u32, piece: &str) -> u32 {
        if let Some(child) = self.child(parent, piece) {
            return child;
        }
        if (self.edges + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let child = self.push_node(piece);
        place(&mut self.slots, Slot { hash: hash(parent, piece), parent, child });
        self.edges += 1;
        child
    }

    fn push_node(&mut self, piece: &str) -> u32 {
        let start = id(self.text.len());
        self.text.push_str(piece);
        self.nodes.push(Node { start, end: id(self.text.len()), value: V::default() });
        id(self.nodes.len() - 1)
    }

    fn grow(&mut self) {
        let mut larger = vec![FREE; (self.slots.len() * 2).max(16)];
        for slot in self.slots.iter().filter(|slot| slot.child != NONE) {
            place(&mut larger, *slot);
        }
        self.slots = larger;
    }
}

impl<V> Trie<V> {
    /// The child over that edge.
    pub(super) fn child(&self, parent: u32, piece: &str) -> Option<u32> {
        let hash = hash(parent, piece);
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize;
        // At most half of the slots are taken, so a free one ends every search.
        while let Some(slot) = self.slots.get(at & mask).filter(|slot| slot.child != NONE) {
            if slot.hash == hash && slot.parent == parent && self.piece(slot.child) == piece {
                return Some(slot.child);
            }
            at = at.wrapping_add(1);
        }
        None
    }

    /// The value of a node.
    pub(super) fn value(&self, node: u32) -> Option<&V> {
        self.nodes.get(node as usize).map(|node| &node.value)
    }

    /// The value of a node, to change it.
    pub(super) fn value_mut(&mut self, node: u32) -> Option<&mut V> {
        self.nodes.get_mut(node as usize).map(|node| &mut node.value)
    }

    fn piece(&self, node: u32) -> &str {
        self.nodes
            .get(node as usize)
            .and_then(|node| self.text.get(node.start as usize..node.end as usize))
            .unwrap_or_default()
    }
}

/// An index as it is stored; a configuration with four thousand million parts does not fit into memory first.
pub(super) fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

fn place(slots: &mut [Slot], new: Slot) {
    let mask = slots.len().wrapping_sub(1);
    let mut at = new.hash as usize;
    while slots.get(at & mask).is_some_and(|slot| slot.child != NONE) {
        at = at.wrapping_add(1);
    }
    if let Some(slot) = slots.get_mut(at & mask) {
        *slot = new;
    }
}

/// Not keyed: who sends requests chooses what is looked up, but not what is in the table, so the longest chain of
/// collisions is fixed by the configuration.
fn hash(parent: u32, piece: &str) -> u32 {
    let mut sum = Mixed::default();
    sum.add(u64::from(parent));
    sum.write(piece.as_bytes());
    // The upper half is what the multiplication mixed best.
    (sum.0 >> 32) as u32
}

/// A quick hash for what the operator wrote.
#[derive(Default)]
pub(super) struct Mixed(u64);

impl Mixed {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_add(SEED).wrapping_mul(SEED);
    }
}

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        // Some bytes of the tail may be seen twice, and all of them are seen.
        let tail = match (bytes.last_chunk::<8>(), tail.first_chunk::<4>(), tail.last_chunk::<4>()) {
            (Some(last), _, _) => u64::from_le_bytes(*last),
            (None, Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
            }
            _ => tail.iter().fold(0, |all, &byte| (all << 8) | u64::from(byte)),
        };
        self.add(tail ^ (bytes.len() as u64).rotate_right(8));
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        // Tables look at the lower bits too.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_is_found_again_and_no_other() {
        let mut trie = Trie::<u32>::default();
        let (left, right) = (trie.add(), trie.add());
        for n in 0..5_000_u32 {
            let child = trie.child_or_add(left, &format!("segment-{n}"));
            *trie.value_mut(child).unwrap() = n;
        }
        for n in 0..5_000_u32 {
            let child = trie.child(left, &format!("segment-{n}")).unwrap();
            assert_eq!(trie.value(child), Some(&n));
            assert_eq!(trie.child_or_add(left, &format!("segment-{n}")), child);
            assert_eq!(trie.child(right, &format!("segment-{n}")), None);
        }
        assert_eq!(trie.child(left, "segment-5000"), None);
        assert_eq!(trie.child(left, ""), None);
    }

    #[test]
    fn an_empty_trie_answers() {
        let trie = Trie::<u32>::default();
        assert_eq!(trie.child(0, "a"), None);
        assert_eq!(trie.value(0), None);
    }
}
