//! A raw ring and the memory that the kernel reads into and sends from. All that is unsafe in the relay is here: the
//! kernel is given addresses. Each lies in a piece of memory that is never freed, so that no end of an operation, of
//! a connection or of the ring can come too late; and nothing but the kernel ever looks into it.

#![expect(unsafe_code, reason = "the kernel is given the addresses of buffers")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use io_uring::squeue::Entry;
use io_uring::{IoUring, cqueue, opcode, types};

/// Submissions between two entries of the kernel; more of them enter it early.
const SUBMISSIONS: u32 = 4096;
/// Completions between two turns; more of them wait in the kernel.
const COMPLETIONS: u32 = 16 * 1024;
/// Pieces that the kernel reads into by its own choice. A power of two.
const PIECES: u16 = 256;
/// Bytes of a piece.
pub(super) const PIECE_BYTES: u32 = 8 * 1024;
/// From one piece to the next. Messages are short, and pieces at a power of two would all lie in the same lines of
/// the processor's cache.
const STRIDE_BYTES: usize = PIECE_BYTES as usize + 704;
/// Bytes of a large buffer, for a connection that fills pieces.
pub(super) const LARGE_BYTES: u32 = 256 * 1024;
/// The group of the pieces.
const GROUP: u16 = 0;
/// Send all of it or fail, and without a signal. (`MSG_WAITALL`, `MSG_NOSIGNAL`)
const SEND_FLAGS: i32 = 0x100 | 0x4000;
/// The accepted sockets are not passed on to a program that is started. (`SOCK_CLOEXEC`)
const ACCEPT_FLAGS: i32 = 0o2_000_000;

/// One place in the kernel's list of free pieces (`struct io_uring_buf`).
#[derive(Debug, Default)]
#[repr(C)]
struct Place {
    address: u64,
    bytes: u32,
    piece: u16,
    /// In the first place, the list's tail; elsewhere unused.
    tail: AtomicU16,
}

/// The list of free pieces, which the kernel wants at the start of a page.
#[derive(Debug)]
#[repr(C, align(4096))]
struct FreeList([Place; PIECES as usize]);

/// Memory to send from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// One of those that the kernel chooses from.
    Piece(u16),
    /// One that a connection keeps.
    Large(usize),
}

/// The ring.
pub(super) struct Ring {
    kernel: IoUring,
    free: &'static mut FreeList,
    tail: u16,
    pieces: *mut u8,
    large: Vec<*mut u8>,
    large_free: Vec<usize>,
}

/// What the kernel says of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completion {
    pub(super) about: u64,
    /// Bytes, a descriptor, or minus an error's number.
    pub(super) result: i32,
    /// The piece that it read into.
    pub(super) piece: Option<u16>,
    /// Whether the operation goes on.
    pub(super) is_on: bool,
}

impl Ring {
    /// A ring for this thread alone.
    pub(super) fn new() -> Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS).setup_single_issuer().setup_defer_taskrun();
        let ring = builder.build(SUBMISSIONS)?;
        let places = std::array::from_fn(|_| Place::default());
        let free: &'static mut FreeList = Box::leak(Box::new(FreeList(places)));
        let address = u64::try_from(std::ptr::from_mut(free).addr())?;
        // SAFETY: the list is page-aligned, has as many places as are named, and is never freed.
        unsafe { ring.submitter().register_buf_ring(address, PIECES, GROUP) }
            .context("no provided buffers")?;
        let pieces = memory(STRIDE_BYTES * usize::from(PIECES));
        let (large, large_free) = (Vec::new(), Vec::new());
        let mut own = Self { kernel: ring, free, tail: 0, pieces, large, large_free };
        for piece in 0..PIECES {
            own.give_back(Memory::Piece(piece));
        }
        Ok(own)
    }

    /// Accepts again and again.
    pub(super) fn accept(&mut self, listener: RawFd, about: u64) -> Result<()> {
        self.push(&opcode::AcceptMulti::new(types::Fd(listener)).flags(ACCEPT_FLAGS).build(), about)
    }

    /// Reads again and again, into pieces of the kernel's choice.
    pub(super) fn read_on(&mut self, socket: &OwnedFd, about: u64) -> Result<()> {
        self.push(&opcode::RecvMulti::new(types::Fd(socket.as_raw_fd()), GROUP).build(), about)
    }

    /// Reads once, into a large buffer.
    pub(super) fn read_large(&mut self, socket: &OwnedFd, memory: Memory, about: u64) -> Result<()> {
        let address = self.address(memory);
        self.push(&opcode::Recv::new(types::Fd(socket.as_raw_fd()), address, LARGE_BYTES).build(), about)
    }

    /// Ends an operation that goes on; its last completion says so.
    pub(super) fn cancel(&mut self, what: u64, about: u64) -> Result<()> {
        self.push(&opcode::AsyncCancel::new(what).build(), about)
    }

    /// Sends a part of some memory.
    pub(super) fn send(
        &mut self,
        socket: &OwnedFd,
        memory: Memory,
        (start, bytes): (u32, u32),
        about: u64,
    ) -> Result<()> {
        let start = usize::try_from(start)?;
        let address = self.address(memory).wrapping_add(start).cast_const();
        let send = opcode::Send::new(types::Fd(socket.as_raw_fd()), address, bytes).flags(SEND_FLAGS);
        self.push(&send.build(), about)
    }

    /// A large buffer, to be given back.
    pub(super) fn large(&mut self) -> Memory {
        Memory::Large(self.large_free.pop().unwrap_or_else(|| {
            self.large.push(memory(usize::try_from(LARGE_BYTES).unwrap_or_default()));
            self.large.len() - 1
        }))
    }

    /// Takes back what no operation uses any more.
    pub(super) fn give_back(&mut self, memory: Memory) {
        match memory {
            Memory::Large(number) => self.large_free.push(number),
            Memory::Piece(piece) => {
                let address = u64::try_from(self.address(memory).addr()).unwrap_or_default();
                if let Some(place) = self.free.0.get_mut(usize::from(self.tail % PIECES)) {
                    (place.address, place.bytes, place.piece) = (address, PIECE_BYTES, piece);
                }
                self.tail = self.tail.wrapping_add(1);
            }
        }
    }

    /// Submits all and waits for something to be completed.
    pub(super) fn turn(&mut self, done: &mut Vec<Completion>) -> Result<()> {
        done.clear();
        if let Some(first) = self.free.0.first() {
            first.tail.store(self.tail, Ordering::Release);
        }
        match self.kernel.submit_and_wait(1) {
            Ok(_) => {}
            // A signal; or completions wait for room, which is made below.
            Err(error) if matches!(error.raw_os_error(), Some(4 | 16)) => {}
            Err(error) => return Err(error).context("the ring"),
        }
        for entry in self.kernel.completion() {
            let piece = cqueue::buffer_select(entry.flags());
            let (about, result, is_on) = (entry.user_data(), entry.result(), cqueue::more(entry.flags()));
            done.push(Completion { about, result, piece, is_on });
        }
        Ok(())
    }

    /// The socket that an accept has come to; each of its completions is handed in once.
    pub(super) fn accepted(completion: Completion) -> std::io::Result<OwnedFd> {
        if completion.result < 0 {
            return Err(std::io::Error::from_raw_os_error(-completion.result));
        }
        // SAFETY: an accept's result that is not negative is a new descriptor, which nothing else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(completion.result) })
    }

    fn address(&self, memory: Memory) -> *mut u8 {
        match memory {
            Memory::Piece(piece) => self.pieces.wrapping_add(usize::from(piece) * STRIDE_BYTES),
            Memory::Large(number) => self.large.get(number).copied().unwrap_or_default(),
        }
    }

    fn push(&mut self, entry: &Entry, about: u64) -> Result<()> {
        let entry = entry.clone().user_data(about);
        // SAFETY: the addresses in entries lie in memory that is never freed and that nothing but the kernel uses.
        if unsafe { self.kernel.submission().push(&entry) }.is_ok() {
            return Ok(());
        }
        self.kernel.submit()?;
        // SAFETY: as above.
        unsafe { self.kernel.submission().push(&entry) }.context("the ring stays full")
    }
}

/// Memory that is never freed.
fn memory(bytes: usize) -> *mut u8 {
    Box::leak(vec![0; bytes].into_boxed_slice()).as_mut_ptr()
}
