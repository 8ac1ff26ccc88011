//! Looks whether the files that a snapshot was made from (certificates, keys, authorities, revocation lists) hold
//! something else now, on a thread of its own, since reading many files takes time.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ringway_config::tls::WatchedFile;

use super::engine::Event;
use crate::net::MailboxSender;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The thread's handle. It ends with it.
#[derive(Debug)]
pub(super) struct Watch {
    files: Sender<Vec<WatchedFile>>,
}

impl Watch {
    /// Starts the thread, which watches nothing yet.
    pub(super) fn start(events: MailboxSender<Event>) -> io::Result<Self> {
        let (files, inbox) = bounded(16);
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || run(&inbox, &events))?;
        Ok(Self { files })
    }

    /// Watches these files and no others.
    pub(super) fn follow(&self, files: &[WatchedFile]) {
        // Full only when the thread is far behind: it will see the next ones.
        let _ = self.files.try_send(files.to_vec());
    }
}

fn run(inbox: &Receiver<Vec<WatchedFile>>, events: &MailboxSender<Event>) {
    let mut files: Vec<WatchedFile> = Vec::new();
    let mut looks = Looks::default();
    loop {
        match if files.is_empty() { inbox.recv().map_err(Into::into) } else { inbox.recv_timeout(LOOK) } {
            Ok(next) => files = next,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                if looks.finds_news(&files) {
                    // A full mailbox gets it at the next look.
                    looks.told = events.send(Event::FilesChanged).is_ok();
                }
            }
        }
    }
}

/// What a look at a file's place in the file system tells.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

/// What was seen at the last look.
#[derive(Default)]
struct Looks {
    stamps: HashMap<PathBuf, Option<Stamp>>,
    /// What is there now has been told.
    told: bool,
}

impl Looks {
    /// Whether there is something to tell: the files differ from what was loaded, and have kept still since the last
    /// look, so that a file that is being written, or a certificate whose key is still to come, is not taken as it is.
    fn finds_news(&mut self, files: &[WatchedFile]) -> bool {
        let now: HashMap<_, _> = files.iter().map(|file| (file.path.clone(), stamp(&file.path))).collect();
        if now != self.stamps {
            self.stamps = now;
            self.told = false;
            return false;
        }
        if self.told {
            return false;
        }
        let news = files.iter().any(WatchedFile::has_changed);
        // What is as it was loaded need not be read again.
        self.told = !news;
        news
    }
}
