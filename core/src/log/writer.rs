//! The access log's thread: takes batches, writes whole lines, survives a full disk. The only place that
//! waits for the log's file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};
use ringway_config::snapshot::AccessSink;

use super::access::{BATCH_MEMORY_MAX, Batch, Shared};
use super::{Level, say};

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Write these lines.
    Write(Batch),
    /// Go on with this output.
    Redirect(Output),
    /// Open the file again if it was moved away.
    Reopen,
    /// Write what came before this, say so, and end.
    Finish(Sender<()>),
}

/// Where lines go, opened.
#[derive(Debug)]
pub(super) enum Output {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout(io::Stdout),
    /// A file, and its path for opening it again.
    File(File, PathBuf),
}

/// Opens a sink.
pub(super) fn open(sink: &AccessSink) -> io::Result<Output> {
    Ok(match sink {
        AccessSink::Off => Output::Off,
        AccessSink::Stdout => Output::Stdout(io::stdout()),
        AccessSink::File(path) => Output::File(append(path)?, path.clone()),
    })
}

fn append(path: &Path) -> io::Result<File> {
    // Lines hold addresses of people: not for everyone.
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// The thread: until it is told to finish, or nobody is left to tell it anything.
pub(super) fn run(output: Output, orders: &Receiver<Order>, empties: &Sender<Vec<u8>>, shared: &Shared) {
    let mut pen = Pen { output, state: State::Well };
    while let Ok(order) = orders.recv() {
        match order {
            Order::Write(batch) => {
                pen.write(&batch, shared);
                let mut bytes = batch.bytes;
                bytes.clear();
                if bytes.capacity() <= BATCH_MEMORY_MAX {
                    // No room: the memory is not needed any more.
                    drop(empties.try_send(bytes));
                }
            }
            Order::Redirect(output) => pen = Pen { output, state: State::Well },
            Order::Reopen => pen.reopen(),
            Order::Finish(done) => {
                let _gone = done.try_send(());
                return;
            }
        }
    }
}

/// Whether the last write went well; what is said about it is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    /// The last write failed.
    Failing,
    /// The last write failed after a part of a line.
    Torn,
}

struct Pen {
    output: Output,
    state: State,
}

impl Pen {
    fn write(&mut self, batch: &Batch, shared: &Shared) {
        // A torn line is ended first, so that it spoils only itself.
        let ended = if self.state == State::Torn {
            self.output.put(b"\n").map_err(|(error, _)| (error, 0))
        } else {
            Ok(())
        };
        match ended.and_then(|()| self.output.put(&batch.bytes)) {
            Ok(()) => {
                if self.state != State::Well {
                    say(Level::Warn, "log.access.recovered", "the access log can be written again", &[]);
                }
                self.state = State::Well;
            }
            Err((error, written)) => {
                let whole = batch.bytes.get(..written).map_or(0, lines);
                let lost = u64::from(batch.lines).saturating_sub(whole);
                shared.lost.fetch_add(lost, Ordering::Relaxed);
                if self.state == State::Well {
                    say(
                        Level::Error,
                        "log.access.failed",
                        "the access log cannot be written: lines are lost",
                        &[("error", &error)],
                    );
                }
                let torn = match batch.bytes.get(..written).and_then(<[u8]>::last) {
                    Some(end) => *end != b'\n',
                    None => self.state == State::Torn,
                };
                self.state = if torn { State::Torn } else { State::Failing };
            }
        }
    }

    fn reopen(&mut self) {
        let Output::File(file, path) = &mut self.output else { return };
        if is_same(file, path) {
            return;
        }
        match append(path) {
            Ok(new) => {
                *file = new;
                self.state = State::Well;
            }
            Err(error) => say(
                Level::Error,
                "log.access.reopen",
                "the access log's file cannot be opened again: the old one stays in use",
                &[("path", &path.display()), ("error", &error)],
            ),
        }
    }
}

impl Output {
    /// Writes all, or says after how many bytes it failed.
    fn put(&mut self, mut bytes: &[u8]) -> Result<(), (io::Error, usize)> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            let written = match self {
                Self::Off => return Ok(()),
                Self::Stdout(stdout) => stdout.lock().write(bytes),
                Self::File(file, _) => file.write(bytes),
            };
            match written {
                Ok(0) => return Err((io::ErrorKind::WriteZero.into(), whole - bytes.len())),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((error, whole - bytes.len())),
            }
        }
        match self {
            Self::Stdout(stdout) => stdout.flush().map_err(|error| (error, whole)),
            Self::Off | Self::File(..) => Ok(()),
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n + u64::from(*byte == b'\n'))
}

/// Whether the path still names this very file.
fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(here), Ok(there)) => here.dev() == there.dev() && here.ino() == there.ino(),
        _ => false,
    }
}
