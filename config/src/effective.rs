//! The effective configuration: everything that a file says and everything that it leaves to a default, as a file that
//! loads again to the same. References stand in it as they are typed, never what they stand for.

use toml::de::DeTable;

use crate::file;
use crate::file::sink::Sink;
use crate::load::Secrets;
use crate::snapshot::Snapshot;

/// The effective configuration of a snapshot.
pub fn effective(snapshot: &Snapshot) -> String {
    let source = &snapshot.source;
    let (document, _) = DeTable::parse_recoverable(&source.text);
    // The text has been read without an error before, so that nothing is looked at but what is shown.
    let sink = Sink::new(&source.base, Secrets::Ignore, &|_| None, true);
    file::read(&sink, document.get_ref());
    sink.into_sections()
}
