//! The keys of session tickets: made, rotated, and, where there is a folder for it, kept for the next process and
//! shared with those beside this one.
//!
//! The file holds one key a line, the newest first: when it was made, its name, the secret, in hex. Whoever finds the
//! newest too old adds one, under a lock beside the file, and replaces the file whole; the others read it again.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::log::{Level, say};
use crate::net::tls::{TicketKey, Tickets};

/// A key makes tickets for so long.
const ROTATE_AFTER: u64 = 12 * 60 * 60;
/// And opens them for as long as a client may keep the last of them: a day more.
const KEEP_FOR: u64 = ROTATE_AFTER + 24 * 60 * 60;
/// How often the keys are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// The file in the folder.
const NAME: &str = "ticket.keys";

/// The keys, and where they are kept.
pub(super) struct TicketKeys {
    tickets: Tickets,
    file: Option<PathBuf>,
    /// The newest first.
    keys: Vec<TicketKey>,
    /// The file could not be used: said once, until it can.
    is_failing: bool,
}

impl TicketKeys {
    /// Keys for these tickets, from the folder if there is one.
    pub(super) fn new(tickets: Tickets, folder: Option<&Path>) -> Self {
        let file = folder.map(|folder| folder.join(NAME));
        let mut made = Self { tickets, file, keys: Vec::new(), is_failing: false };
        made.look(clock::wall().as_secs());
        made
    }

    /// Looks whether a key is due, or another process has made one.
    pub(super) fn look(&mut self, now: u64) {
        let before = self.keys.clone();
        if let Some(file) = &self.file {
            match shared(file, now) {
                Ok(keys) => (self.keys, self.is_failing) = (keys, false),
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        say(
                            Level::Warn,
                            "tls.ticket_keys",
                            "the keys of session tickets cannot be kept: sessions end with this process",
                            &[("file", &file.display()), ("error", &error)],
                        );
                    }
                    renew(&mut self.keys, now);
                }
            }
        } else {
            renew(&mut self.keys, now);
        }
        if self.keys != before {
            self.tickets.publish(&self.keys);
        }
    }
}

/// Adds a key if the newest is too old, and drops those that nobody has tickets of. Whether anything changed.
fn renew(keys: &mut Vec<TicketKey>, now: u64) -> bool {
    let before = keys.len();
    keys.retain(|key| now.saturating_sub(key.made) < KEEP_FOR);
    let mut changed = keys.len() != before;
    if keys.first().is_none_or(|key| now.saturating_sub(key.made) >= ROTATE_AFTER)
        && let Some(key) = TicketKey::new(now)
    {
        keys.insert(0, key);
        changed = true;
    }
    changed
}

/// The keys of the file, renewed in it if need be.
fn shared(file: &Path, now: u64) -> io::Result<Vec<TicketKey>> {
    let mut keys = read(file)?;
    if !renew(&mut keys, now) {
        return Ok(keys);
    }
    // Somebody else may be about to do the same.
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(file.with_extension("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let mut keys = read(file)?;
    if renew(&mut keys, now) {
        write(file, &keys)?;
    }
    Ok(keys)
}

/// The keys of a file; none where there is no file. A line that is none is passed over.
fn read(file: &Path) -> io::Result<Vec<TicketKey>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut keys: Vec<_> = text.lines().filter_map(parse).collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.made));
    Ok(keys)
}

fn write(file: &Path, keys: &[TicketKey]) -> io::Result<()> {
    let mut text = String::new();
    for key in keys {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{} {} {}", key.made, hex(&key.name), hex(&key.secret));
    }
    let temporary = file.with_extension("new");
    let mut out = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    // One that was left behind may have had other permissions.
    out.set_permissions(Permissions::from_mode(0o600))?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(temporary, file)
}

fn parse(line: &str) -> Option<TicketKey> {
    let mut words = line.split(' ');
    let key = TicketKey {
        made: words.next()?.parse().ok()?,
        name: unhex(words.next()?)?,
        secret: unhex(words.next()?)?,
    };
    words.next().is_none().then_some(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ringway-tickets-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_key_makes_tickets_for_half_a_day_and_opens_them_for_a_day_more() {
        let mut keys = Vec::new();
        assert!(renew(&mut keys, 1_000) && keys.len() == 1);
        assert!(!renew(&mut keys, 1_000 + ROTATE_AFTER - 1));
        let first = keys[0].clone();
        assert!(renew(&mut keys, 1_000 + ROTATE_AFTER));
        assert!(keys.len() == 2 && keys[1] == first);
        renew(&mut keys, 1_000 + KEEP_FOR - 1);
        assert!(keys.contains(&first));
        renew(&mut keys, 1_000 + KEEP_FOR);
        assert!(!keys.contains(&first));
    }

    #[test]
    fn keys_outlive_their_process_and_are_shared() {
        let folder = folder("shared");
        let mut one = TicketKeys::new(Tickets::default(), Some(&folder));
        let mut other = TicketKeys::new(Tickets::default(), Some(&folder));
        assert!(one.keys == other.keys && one.keys.len() == 1);
        let later = one.keys[0].made + ROTATE_AFTER;
        one.look(later);
        other.look(later);
        assert!(one.keys == other.keys && one.keys.len() == 2);
        let mode = std::fs::metadata(folder.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_read_or_written_is_done_without() {
        let folder = folder("broken");
        std::fs::write(folder.join(NAME), "nonsense\n1 2 3\n").unwrap();
        assert_eq!(TicketKeys::new(Tickets::default(), Some(&folder)).keys.len(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
        // The folder is gone.
        let mut keys = TicketKeys::new(Tickets::default(), Some(&folder));
        assert!(keys.is_failing && keys.keys.len() == 1);
        let before = keys.keys.clone();
        keys.look(keys.keys[0].made + 1);
        assert!(keys.keys == before);
    }
}
