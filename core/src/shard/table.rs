//! A table of slots that one thread fills and others read: fixed in size, allocated by the chunk, never
//! moved.
//!
//! A slot's address is stable for the table's life, so a reader needs no lock. Chunks are aligned so that no
//! cache line is shared with another shard. Only [`super::Writer`] makes chunks; making one is the only
//! allocation here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slots per chunk.
const CHUNK: usize = 64;

/// Two cache lines: adjacent lines are fetched in pairs on many processors.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

/// Slots that are allocated together.
type Chunk<T> = Box<Padded<[T; CHUNK]>>;

/// At most `chunks.len() * CHUNK` slots.
#[derive(Debug)]
pub(super) struct Table<T> {
    chunks: Box<[OnceLock<Chunk<T>>]>,
}

impl<T: Default> Table<T> {
    /// Room for at least `slots_max` slots, none of them allocated yet.
    pub(super) fn new(slots_max: usize) -> Self {
        let chunks = slots_max.div_ceil(CHUNK).max(1);
        Self { chunks: (0..chunks).map(|_| OnceLock::new()).collect() }
    }

    /// How many slots it can have.
    pub(super) fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// The slot for writing; its chunk is made on first sight. `None` past the end.
    pub(super) fn slot(&self, index: usize) -> Option<&T> {
        let chunk = self.chunks.get(index / CHUNK)?;
        let made = chunk.get_or_init(|| Box::new(Padded(std::array::from_fn(|_| T::default()))));
        made.0.get(index % CHUNK)
    }

    /// The slot for reading, if its chunk is there.
    pub(super) fn existing(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get()?.0.get(index % CHUNK)
    }
}

/// Adds without a locked instruction: sound because a cell has one writer.
pub(super) fn bump(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// Takes away, likewise, and stays at zero rather than wrapping.
pub(super) fn lower(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Ordering::Relaxed).saturating_sub(n), Ordering::Relaxed);
}

/// Reads a cell that another thread writes.
pub(super) fn read(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_past_the_end_does_not_exist() {
        let table: Table<AtomicU64> = Table::new(65);
        assert_eq!(table.capacity(), 128);
        assert!(table.slot(127).is_some());
        assert!(table.slot(128).is_none());
    }

    #[test]
    fn reading_allocates_nothing_and_writing_makes_one_chunk() {
        let table: Table<AtomicU64> = Table::new(128);
        assert!(table.existing(3).is_none());
        bump(table.slot(3).unwrap(), 2);
        assert_eq!(table.existing(3).map(read), Some(2));
        assert!(table.existing(64).is_none());
    }

    #[test]
    fn a_gauge_never_goes_below_zero() {
        let cell = AtomicU64::new(1);
        lower(&cell, 2);
        assert_eq!(read(&cell), 0);
    }
}
