//! Two buffers lent to the kernel for one gathered write.

#![expect(unsafe_code, reason = "the kernel is told of two vectors by address")]

use monoio::buf::IoVecBuf;

use super::Buffer;

/// Two buffers and the addresses of what they hold. Boxed when lent, so that the addresses' own place stays.
#[derive(Debug)]
pub(super) struct Gather {
    loans: [Buffer; 2],
    parts: [libc::iovec; 2],
}

const NO_PART: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

impl Default for Gather {
    fn default() -> Self {
        Self { loans: Default::default(), parts: [NO_PART; 2] }
    }
}

impl Gather {
    /// Takes two loans in.
    pub(super) fn load(&mut self, first: Buffer, second: Buffer) {
        self.parts = [part(&first), part(&second)];
        self.loans = [first, second];
    }

    /// Gives them out again.
    pub(super) fn unload(&mut self) -> (Buffer, Buffer) {
        self.parts = [NO_PART; 2];
        let [first, second] = std::mem::take(&mut self.loans);
        (first, second)
    }
}

fn part(buffer: &Buffer) -> libc::iovec {
    let filled = buffer.filled();
    libc::iovec { iov_base: filled.as_ptr().cast_mut().cast(), iov_len: filled.len() }
}

/// What a writer lends: the box keeps `parts` in place when the operation moves.
#[derive(Debug)]
pub(super) struct Lent(pub(super) Box<Gather>);

// SAFETY: `parts` lies in a box that the operation owns until the kernel is done, and holds two valid entries: each
// is empty or spans what a buffer in `loans` holds, which nothing touches between `load` and `unload`.
unsafe impl IoVecBuf for Lent {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.0.parts.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.0.parts.len()
    }
}
