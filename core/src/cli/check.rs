//! `ringway check`: whether a file is valid, or everything that is wrong with it.

use std::path::Path;

use ringway_config::effective;
use ringway_config::load::Secrets;

use super::arguments::Effective;
use super::{Failure, load, print};

/// Checks a file.
pub(super) fn check(file: &Path, shown: Effective, secrets: Secrets) -> Result<(), Failure> {
    let snapshot = load(file, secrets)?;
    match shown {
        Effective::Print => print(&effective(&snapshot)),
        Effective::Leave => {
            let count =
                |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
            let listeners = count(snapshot.listeners.len(), "listener");
            let routes = count(snapshot.routes.all().len(), "route");
            let upstreams = count(snapshot.upstreams.len(), "upstream");
            print(&format!("{}: valid: {listeners}, {routes}, {upstreams}\n", file.display()));
        }
    }
    Ok(())
}
