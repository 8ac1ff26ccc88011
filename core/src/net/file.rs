//! Files through the ring: opening, stat and reading never block a worker.
//!
//! Opening a path below a folder (openat2) is not among the driver's operations and may wait for a disk, so two
//! threads of the process do it for all workers, within a bound for each, and answer through a mailbox. Reading is
//! the ring's: what is in the page cache is copied at once, the rest is read by the kernel's own workers. On epoll,
//! where files are never "not ready", the same two threads read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender};
use monoio::buf::IoBufMut;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::socket::is_epoll;
use super::{Buffer, Buffers, Mailbox, MailboxSender, mailbox, spawn};

/// Threads that open files.
const THREADS: usize = 2;
/// Questions of one worker that may be open at a time. This bounds the queue too, and lets no worker crowd the
/// others out.
const OPEN_MAX: usize = 1024;

/// An open regular file.
#[derive(Debug)]
pub struct File {
    source: Source,
    len: u64,
    modified: SystemTime,
}

/// Who reads.
enum Source {
    Ring(monoio::fs::File),
    Threads(Arc<std::fs::File>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ring(_) => "Ring",
            Self::Threads(_) => "Threads",
        })
    }
}

impl File {
    /// Opens `relative` below the folder `root` so that no `..` and no symbolic link leads out of it (openat2 with
    /// `RESOLVE_BENEATH` where the kernel has it, otherwise step by step with no symbolic link at all). A folder is
    /// `ErrorKind::IsADirectory`, what is neither folder nor regular file, or lies outside, is
    /// `ErrorKind::PermissionDenied`, too many waiting jobs are `ErrorKind::ResourceBusy`.
    pub async fn open_beneath(root: &Path, relative: &str) -> io::Result<Self> {
        let work = Work::Open { root: root.to_owned(), relative: relative.to_owned() };
        let Done::Opened(opened) = ask(work).await? else { return Err(io::ErrorKind::Other.into()) };
        let Opened { file, len, modified } = opened?;
        let source = if is_epoll() {
            Source::Threads(Arc::new(file))
        } else {
            Source::Ring(monoio::fs::File::from_std(file)?)
        };
        Ok(Self { source, len, modified })
    }

    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When it was last changed.
    pub fn modified(&self) -> SystemTime {
        self.modified
    }

    /// Reads at most `len` bytes at `offset` into a buffer of the pool; an empty buffer is the end.
    pub async fn read_at(&self, buffers: &Rc<Buffers>, offset: u64, len: usize) -> io::Result<Buffer> {
        let mut buffer = buffers.take(len);
        if len == 0 {
            return Ok(buffer);
        }
        let (data, _) = buffer.lend();
        let (result, data) = match &self.source {
            Source::Ring(file) => {
                let (result, slice) = file.read_at(data.slice_mut(0..len), offset).await;
                (result.map(drop), slice.into_inner())
            }
            Source::Threads(file) => {
                let work = Work::Read { file: Arc::clone(file), data, offset, len };
                let Done::Read(result, data) = ask(work).await? else {
                    return Err(io::ErrorKind::Other.into());
                };
                (result, data)
            }
        };
        buffer.put_back(data, 0);
        result?;
        Ok(buffer)
    }
}

/// What the threads do.
enum Work {
    Open { root: PathBuf, relative: String },
    Read { file: Arc<std::fs::File>, data: Vec<u8>, offset: u64, len: usize },
}

/// What came of it.
enum Done {
    Opened(io::Result<Opened>),
    Read(io::Result<()>, Vec<u8>),
}

struct Opened {
    file: std::fs::File,
    len: u64,
    modified: SystemTime,
}

struct Job {
    work: Work,
    number: u64,
    answer: MailboxSender<(u64, Done)>,
}

fn queue() -> io::Result<&'static Sender<Job>> {
    static JOBS: OnceLock<Option<Sender<Job>>> = OnceLock::new();
    let start = || {
        let (sender, receiver) = crossbeam_channel::unbounded();
        for number in 0..THREADS {
            let receiver = receiver.clone();
            let builder = std::thread::Builder::new().name(format!("files-{number}"));
            builder.spawn(move || serve(&receiver)).ok()?;
        }
        Some(sender)
    };
    JOBS.get_or_init(start).as_ref().ok_or_else(|| io::Error::other("no thread for files could be started"))
}

fn serve(jobs: &Receiver<Job>) {
    for Job { work, number, answer } in jobs {
        let done = match work {
            Work::Open { root, relative } => Done::Opened(open(&root, &relative)),
            Work::Read { file, mut data, offset, len } => {
                let result = read(&file, &mut data, offset, len);
                Done::Read(result, data)
            }
        };
        // A worker that is gone needs no answer.
        let _ = answer.send((number, done));
    }
}

fn read(file: &std::fs::File, data: &mut Vec<u8>, offset: u64, len: usize) -> io::Result<()> {
    loop {
        match rustix::io::pread(file, spare_capacity(data), offset) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    data.truncate(len);
    Ok(())
}

fn open(root: &Path, relative: &str) -> io::Result<Opened> {
    let folder =
        openat(rustix::fs::CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // A FIFO must not make us wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let fd = loop {
        match openat2(&folder, relative, flags, Mode::empty(), beneath) {
            Ok(fd) => break fd,
            // The tree changed while it was walked.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => break step_by_step(folder, relative, flags)?,
            // A way out of the folder, or through a magic link.
            Err(Errno::XDEV | Errno::LOOP) => return Err(io::ErrorKind::PermissionDenied.into()),
            Err(error) => return Err(error.into()),
        }
    };
    let file = std::fs::File::from(fd);
    let data = file.metadata()?;
    if data.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !data.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(Opened { len: data.len(), modified: data.modified()?, file })
}

/// For a kernel without openat2: every step must be a plain name and no symbolic link.
fn step_by_step(mut folder: OwnedFd, relative: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
    if relative.starts_with('/') {
        return Err(refused());
    }
    let mut names = relative.split('/').filter(|name| !name.is_empty() && *name != ".").peekable();
    while let Some(name) = names.next() {
        if name == ".." {
            return Err(refused());
        }
        if names.peek().is_none() {
            return Ok(openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
        }
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        folder = openat(&folder, name, step, Mode::empty())?;
    }
    Err(io::ErrorKind::IsADirectory.into())
}

/// This thread's questions to the file threads.
struct Desk {
    answer: MailboxSender<(u64, Done)>,
    next: u64,
    /// Questions without an answer yet, those that nobody waits for any more included.
    open: usize,
    waiting: HashMap<u64, Rc<RefCell<Slot>>>,
}

/// Where an answer is put.
#[derive(Default)]
struct Slot {
    done: Option<Done>,
    waker: Option<Waker>,
}

thread_local! {
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// Forgets this thread's desk, before its driver ends.
pub(super) fn close_desk() {
    drop(DESK.take());
}

/// Takes a question back when its future is dropped; the answer is then dropped too.
struct Ticket(u64);

impl Drop for Ticket {
    fn drop(&mut self) {
        let Self(number) = self;
        // After the thread's end there is nothing to take back.
        let _ = DESK.try_with(|desk| desk.borrow_mut().as_mut().map(|desk| desk.waiting.remove(number)));
    }
}

async fn ask(work: Work) -> io::Result<Done> {
    let slot = Rc::new(RefCell::new(Slot::default()));
    let _ticket = DESK.with_borrow_mut(|desk| {
        let desk = match desk {
            Some(desk) => desk,
            None => desk.insert(open_desk()?),
        };
        if desk.open >= OPEN_MAX {
            return Err(io::Error::from(io::ErrorKind::ResourceBusy));
        }
        let number = desk.next;
        let job = Job { work, number, answer: desk.answer.clone() };
        queue()?.send(job).map_err(|_| io::Error::other("the threads for files are gone"))?;
        desk.next += 1;
        desk.open += 1;
        desk.waiting.insert(number, Rc::clone(&slot));
        Ok(Ticket(number))
    })?;
    let done = poll_fn(|cx| {
        let mut slot = slot.borrow_mut();
        if let Some(done) = slot.done.take() {
            return Poll::Ready(done);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    });
    Ok(done.await)
}

/// A desk, and the task that hands its answers out until the desk and all jobs are gone.
fn open_desk() -> io::Result<Desk> {
    let (answer, answers) = mailbox(OPEN_MAX)?;
    spawn(hand_out(answers));
    Ok(Desk { answer, next: 0, open: 0, waiting: HashMap::new() })
}

async fn hand_out(mut answers: Mailbox<(u64, Done)>) {
    while let Some((number, done)) = answers.recv().await {
        let waiting = DESK.with_borrow_mut(|desk| {
            let desk = desk.as_mut()?;
            desk.open -= 1;
            desk.waiting.get(&number).map(Rc::clone)
        });
        let Some(slot) = waiting else { continue };
        let mut slot = slot.borrow_mut();
        slot.done = Some(done);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_step_by_step_leads_nowhere_else() {
        let root = std::env::temp_dir().join(format!("ringway-steps-{}", std::process::id()));
        std::fs::create_dir_all(root.join("inside/deeper")).unwrap();
        std::fs::write(root.join("inside/deeper/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("inside/out")).unwrap();
        std::os::unix::fs::symlink("deeper/file", root.join("inside/link")).unwrap();
        let walk = |relative: &str| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = openat(rustix::fs::CWD, &root, flags, Mode::empty()).unwrap();
            step_by_step(folder, relative, OFlags::RDONLY | OFlags::CLOEXEC).is_ok()
        };
        for (relative, found) in [
            ("inside/deeper/file", true),
            ("./inside//deeper/./file", true),
            ("inside/deeper/../deeper/file", false),
            ("../inside/deeper/file", false),
            ("/etc/passwd", false),
            ("inside/out/passwd", false),
            ("inside/link", false),
            ("", false),
        ] {
            assert_eq!(walk(relative), found, "{relative}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
}
