//! `ringway routes`: the routes in the order in which they are asked.

use std::path::Path;

use ringway_config::explain::routes_table;
use ringway_config::load::Secrets;

use super::{Failure, load, print};

/// Lists the routes of a file.
pub(super) fn routes(config: &Path) -> Result<(), Failure> {
    print(&routes_table(&load(config, Secrets::Resolve)?));
    Ok(())
}
