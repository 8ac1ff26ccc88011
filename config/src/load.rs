//! From text to snapshot: the two entry points.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use toml::de::DeTable;

use crate::error::{ConfigError, ConfigErrors};
use crate::file;
use crate::file::sink::Sink;
use crate::resolve::resolve;
use crate::snapshot::{Snapshot, Source};

/// The largest file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Small stable numbers for names, kept by control over reloads, so that a counter keeps its place.
///
/// A route and an upstream are counted under their name, an endpoint under `UPSTREAM ENDPOINT`, with a space between.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    /// The number of a name, given out on first sight and never taken back.
    pub fn id(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.numbers.get(name) {
            return id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = Arc::from(name);
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, id);
        id
    }

    /// The name of a number.
    pub fn name(&self, id: u32) -> Option<&Arc<str>> {
        self.names.get(id as usize)
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
pub fn load_file(path: &Path, names: &mut Names, secrets: Secrets) -> Result<Loaded, ConfigErrors> {
    let name = path.display().to_string();
    let whole = |message: String| {
        let error = ConfigError { file: name.clone(), line: 1, column: 1, key: String::new(), message };
        ConfigErrors(vec![error])
    };
    let size = std::fs::metadata(path).map_err(|error| whole(format!("cannot be read: {error}")))?.len();
    if size > FILE_BYTES_MAX {
        return Err(whole(format!("a file is at most 64MB, this one has {size} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| whole(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to())))?;
    // Relative paths stay right when the process changes its folder later.
    let path = std::path::absolute(path).map_err(|error| whole(format!("has no absolute path: {error}")))?;
    let base = path.parent().unwrap_or_else(|| Path::new("/"));
    load_str(&name, &text, base, names, secrets)
}

/// The same from text; `base` is the folder that relative paths are relative to.
pub fn load_str(
    file_name: &str,
    text: &str,
    base: &Path,
    names: &mut Names,
    secrets: Secrets,
) -> Result<Loaded, ConfigErrors> {
    // Certificates are judged as of now, once, here.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    load_with(
        file_name,
        text,
        base,
        names,
        secrets,
        &Surroundings { environment: &|name| std::env::var(name).ok(), now },
    )
}

/// What a file's meaning depends on beside its text.
pub(crate) struct Surroundings<'a> {
    /// The value of an environment variable.
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    /// In seconds since 1970.
    pub(crate) now: u64,
}

/// The same in surroundings of the caller's.
pub(crate) fn load_with(
    file_name: &str,
    text: &str,
    base: &Path,
    names: &mut Names,
    secrets: Secrets,
    around: &Surroundings<'_>,
) -> Result<Loaded, ConfigErrors> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let sink = Sink::new(base, secrets, around.environment, false);
    let is_readable = syntax.iter().all(|error| error.message() == DUPLICATE);
    for error in syntax {
        let at = error.span().map_or(0, |span| span.start);
        sink.error(at, syntax_message(error.message()));
    }
    let source = Source { file: Arc::from(file_name), text: Arc::from(text), base: Arc::from(base) };
    // Past another error in its syntax, what a file says is a guess, and errors in it would mislead.
    let snapshot = is_readable
        .then(|| {
            let file = file::read(&sink, document.get_ref());
            resolve(&sink, file, names, source, around.now)
        })
        .flatten();
    let (errors, warnings) = sink.render(file_name, text, document.get_ref());
    match snapshot {
        Some(snapshot) if errors.is_empty() => {
            Ok(Loaded { snapshot, warnings: warnings.iter().map(ToString::to_string).collect() })
        }
        Some(_) | None => Err(ConfigErrors(errors)),
    }
}

/// What the parser says of a key that is there twice: the one error past which the rest can be trusted.
const DUPLICATE: &str = "duplicate key";

fn syntax_message(message: &str) -> String {
    if message == DUPLICATE {
        "this key is there twice; remove one, or rename it".to_owned()
    } else {
        format!("not valid TOML: {message}")
    }
}

#[cfg(test)]
mod tests;
