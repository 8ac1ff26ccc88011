//! Files through the ring: opening, stat and reading never block a worker.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use super::{Buffer, Buffers};

/// An open regular file.
#[derive(Debug)]
pub struct File {
    _private: (),
}

impl File {
    /// Opens `relative` below the folder `root` so that no `..` and no symbolic link leads out of it (openat2 with
    /// RESOLVE_BENEATH where the kernel has it). A folder is `ErrorKind::IsADirectory`.
    pub async fn open_beneath(_root: &Path, _relative: &str) -> io::Result<Self> {
        todo!()
    }
    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// When it was last changed.
    pub fn modified(&self) -> SystemTime {
        todo!()
    }
    /// Reads at most `len` bytes at `offset` into a buffer of the pool; an empty buffer is the end.
    pub async fn read_at(&self, _buffers: &Rc<Buffers>, _offset: u64, _len: usize) -> io::Result<Buffer> {
        todo!()
    }
}
