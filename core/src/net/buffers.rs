//! Buffers that are lent to the ring and come back, recycled per worker.
//!
//! A buffer goes to the kernel as it is, so that one that is given up with its operation returns to its pool, too.
//!
//! A buffer's memory is never zeroed: the kernel reads into a vector's spare capacity. Each size class keeps a
//! bounded number of free buffers, so that a burst does not stay in memory for ever.

#![expect(unsafe_code, reason = "the runtime is told of the filled and the free part by address")]

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use monoio::buf::{IoBuf, IoBufMut};

/// This worker's free buffers.
#[derive(Debug)]
pub struct Buffers {
    classes: [Class; 4],
}

/// Free buffers of one size.
#[derive(Debug)]
struct Class {
    capacity: usize,
    /// How many are kept at most.
    kept_max: usize,
    free: RefCell<Vec<Vec<u8>>>,
}

impl Default for Buffers {
    fn default() -> Self {
        let class = |capacity, kept_max| Class { capacity, kept_max, free: RefCell::default() };
        Self {
            classes: [
                class(Self::TINY, 1024),
                class(Self::SMALL, 256),
                class(Self::MEDIUM, 32),
                class(Self::LARGE, 16),
            ],
        }
    }
}

impl Buffers {
    /// What a receive that waits holds.
    pub const TINY: usize = 4 * 1024;
    /// The usual size.
    pub const SMALL: usize = 16 * 1024;
    /// The step between: 64 KiB of a body and the head in front of it.
    pub const MEDIUM: usize = 68 * 1024;
    /// The size for bodies that keep a buffer full: four hold a body of 1 MiB and its head.
    pub const LARGE: usize = 260 * 1024;

    /// No buffers yet.
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }

    /// An empty buffer of at least that capacity.
    pub fn take(self: &Rc<Self>, capacity: usize) -> Buffer {
        let class = self.classes.iter().find(|class| capacity <= class.capacity);
        let data = class.map_or_else(
            || Vec::with_capacity(capacity),
            |class| class.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(class.capacity)),
        );
        Buffer { data, start: 0, home: Some(Rc::clone(self)) }
    }

    /// Bytes of memory in free buffers.
    pub fn free_bytes(&self) -> usize {
        self.classes.iter().map(|class| class.free.borrow().iter().map(Vec::capacity).sum::<usize>()).sum()
    }

    fn give_back(&self, mut data: Vec<u8>) {
        let capacity = data.capacity();
        // The largest class that it can serve; one grown far beyond its class is not worth keeping.
        let class = self.classes.iter().rev().find(|class| class.capacity <= capacity);
        let Some(class) = class.filter(|class| capacity <= class.capacity.saturating_mul(4)) else { return };
        let mut free = class.free.borrow_mut();
        if free.len() < class.kept_max {
            data.clear();
            free.push(data);
        }
    }
}

/// Owned bytes: `filled()` is what is still to be used. Returns to its pool when dropped.
///
/// `start <= data.len()`.
#[derive(Debug, Default)]
pub struct Buffer {
    data: Vec<u8>,
    start: usize,
    home: Option<Rc<Buffers>>,
}

impl Buffer {
    /// A buffer of no pool and no memory.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The bytes that are there.
    pub fn filled(&self) -> &[u8] {
        self.data.get(self.start..).unwrap_or_default()
    }

    /// The bytes that are there, to be changed in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(self.start..).unwrap_or_default()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.data.len().saturating_sub(self.start)
    }

    /// Whether none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes fit in without new memory.
    pub fn room(&self) -> usize {
        self.data.capacity().saturating_sub(self.data.len())
    }

    /// Drops `n` bytes from the front.
    pub fn consume(&mut self, n: usize) {
        if n >= self.len() {
            self.clear();
        } else {
            self.start += n;
        }
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.start = 0;
    }

    /// Keeps only this range of `filled()`.
    pub fn narrow(&mut self, range: Range<usize>) {
        self.data.truncate(self.start.saturating_add(range.end));
        self.consume(range.start);
    }

    /// The vector, to append to; what is before `filled()` must not be touched.
    pub fn append(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Appends another buffer's bytes (or becomes it, when this one is empty).
    pub fn absorb(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            // What is used up goes first: a sender whose reads always end within a message would keep it for ever.
            if self.start > 0 {
                self.data.drain(..self.start);
                self.start = 0;
            }
            self.data.extend_from_slice(other.filled());
        }
    }

    /// The vector and where its filled part starts, to lend to the ring; [`Self::put_back`] ends the loan. A loan
    /// that is never put back is memory that the pool makes anew.
    pub(super) fn lend(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.data), std::mem::take(&mut self.start))
    }

    /// Ends a loan.
    pub(super) fn put_back(&mut self, data: Vec<u8>, start: usize) {
        self.start = start.min(data.len());
        self.data = data;
    }
}

// SAFETY: the pointer and the length are those of `filled()`, initialised bytes of a vector's heap memory, which stays
// where it is when the buffer is moved, and which nothing touches while the operation owns the buffer.
unsafe impl IoBuf for Buffer {
    fn read_ptr(&self) -> *const u8 {
        self.filled().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }
}

// SAFETY: the pointer and the length are those of the vector's spare capacity, heap memory that stays where it is when
// the buffer is moved, and which nothing touches while the operation owns the buffer.
unsafe impl IoBufMut for Buffer {
    fn write_ptr(&mut self) -> *mut u8 {
        self.data.spare_capacity_mut().as_mut_ptr().cast()
    }

    fn bytes_total(&mut self) -> usize {
        self.room()
    }

    unsafe fn set_init(&mut self, written: usize) {
        let len = self.data.len() + written;
        // SAFETY: the caller says that the kernel has written so many bytes at `write_ptr`, which is at the vector's
        // length, and it cannot have written more than `bytes_total`.
        unsafe { self.data.set_len(len) };
    }
}

impl bytes::Buf for Buffer {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.filled()
    }

    fn advance(&mut self, n: usize) {
        self.consume(n);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absorbing_behind_a_rest_for_ever_takes_no_more_memory() {
        let buffers = Buffers::new();
        let mut input = buffers.take(Buffers::SMALL);
        input.append().extend_from_slice(b"x");
        for _ in 0..1_000 {
            let mut more = buffers.take(Buffers::SMALL);
            more.append().extend_from_slice(&[b'y'; 10_000]);
            input.absorb(more);
            input.consume(10_000);
            assert_eq!(input.len(), 1);
        }
        assert!(input.append().capacity() <= 4 * Buffers::SMALL);
    }

    #[test]
    fn consume_narrow_and_absorb_keep_the_rest() {
        let buffers = Buffers::new();
        let mut buffer = buffers.take(Buffers::SMALL);
        buffer.append().extend_from_slice(b"0123456789");
        buffer.consume(2);
        assert_eq!(buffer.filled(), b"23456789");
        buffer.narrow(1..4);
        assert_eq!(buffer.filled(), b"345");
        let mut other = Buffer::empty();
        other.append().extend_from_slice(b"xy");
        buffer.absorb(other);
        assert_eq!(buffer.filled(), b"345xy");
        buffer.consume(99);
        assert!(buffer.is_empty());
        let mut whole = buffers.take(1);
        whole.append().extend_from_slice(b"whole");
        buffer.absorb(whole);
        assert_eq!(buffer.filled(), b"whole");
        buffer.narrow(9..12);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_dropped_buffer_is_the_next_one_taken() {
        let buffers = Buffers::new();
        for capacity in [Buffers::SMALL, Buffers::MEDIUM, Buffers::LARGE] {
            let mut first = buffers.take(capacity);
            first.append().push(1);
            let memory = first.append().as_ptr();
            drop(first);
            let mut again = buffers.take(capacity);
            assert!(again.is_empty() && again.room() >= capacity);
            assert_eq!(again.append().as_ptr(), memory);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Buffers::new();
        let many: Vec<_> = (0..2_000).map(|_| buffers.take(Buffers::SMALL)).collect();
        drop(many);
        let large: Vec<_> = (0..100).map(|_| buffers.take(Buffers::LARGE)).collect();
        drop(large);
        drop(buffers.take(64 << 20));
        assert_eq!(buffers.free_bytes(), 256 * Buffers::SMALL + 16 * Buffers::LARGE);
    }

    #[test]
    fn an_empty_buffer_and_a_lost_loan_are_not_kept() {
        let buffers = Buffers::new();
        drop(Buffer::empty());
        let mut lost = buffers.take(1);
        drop(lost.lend());
        drop(lost);
        assert_eq!(buffers.free_bytes(), 0);
    }
}
