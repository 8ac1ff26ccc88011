//! From text to snapshot: the two entry points.

use std::path::Path;
use std::sync::Arc;

use crate::error::ConfigErrors;
use crate::snapshot::Snapshot;

/// Small stable numbers for names, kept by control over reloads, so that a counter keeps its place.
#[derive(Debug, Default)]
pub struct Names {
    _private: (),
}

impl Names {
    /// The number of a name, given out on first sight and never taken back.
    pub fn id(&mut self, _name: &str) -> u32 {
        todo!()
    }
    /// The name of a number.
    pub fn name(&self, _id: u32) -> Option<&Arc<str>> {
        todo!()
    }
}

/// A loaded file.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub snapshot: Snapshot,
    /// What is legal but probably not meant.
    pub warnings: Vec<String>,
}

/// Where secrets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// `env:` and `file:` references are resolved, and a missing one is an error.
    Resolve,
    /// They are left alone (`ringway check --no-secrets`).
    Ignore,
}

/// Reads, parses and resolves a file. The snapshot's epoch is 0; control sets it.
pub fn load_file(_path: &Path, _names: &mut Names, _secrets: Secrets) -> Result<Loaded, ConfigErrors> {
    todo!()
}

/// The same from text; `base` is the folder that relative paths are relative to.
pub fn load_str(
    _file_name: &str,
    _text: &str,
    _base: &Path,
    _names: &mut Names,
    _secrets: Secrets,
) -> Result<Loaded, ConfigErrors> {
    todo!()
}
