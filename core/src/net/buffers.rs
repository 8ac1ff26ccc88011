//! Buffers that are lent to the ring and come back, recycled per worker.

use std::rc::Rc;

/// This worker's free buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    _private: (),
}

impl Buffers {
    /// The usual size.
    pub const SMALL: usize = 16 * 1024;
    /// The size for bodies that keep a buffer full.
    pub const LARGE: usize = 256 * 1024;

    /// No buffers yet.
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }
    /// An empty buffer of at least that capacity.
    pub fn take(self: &Rc<Self>, _capacity: usize) -> Buffer {
        todo!()
    }
}

/// Owned bytes: `filled()` is what is still to be used. Returns to its pool when dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    _private: (),
}

impl Buffer {
    /// A buffer of no pool and no memory.
    pub fn empty() -> Self {
        Self::default()
    }
    /// The bytes that are there.
    pub fn filled(&self) -> &[u8] {
        todo!()
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.filled().len()
    }
    /// Whether none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Drops `n` bytes from the front.
    pub fn consume(&mut self, _n: usize) {
        todo!()
    }
    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        todo!()
    }
    /// Keeps only this range of `filled()`.
    pub fn narrow(&mut self, _range: std::ops::Range<usize>) {
        todo!()
    }
    /// The vector, to append to; what is before `filled()` must not be touched.
    pub fn append(&mut self) -> &mut Vec<u8> {
        todo!()
    }
    /// Appends another buffer's bytes (or becomes it, when this one is empty).
    pub fn absorb(&mut self, _other: Self) {
        todo!()
    }
}
