//! What the operator asked for: a TOML file becomes an immutable [`Snapshot`], or is refused with every error at once.
#![forbid(unsafe_code)]

pub mod diff;
pub mod effective;
pub mod error;
pub mod explain;
mod file;
pub mod load;
pub mod regex;
mod resolve;
pub mod rewrite;
pub mod routes;
pub mod snapshot;
pub mod tls;

pub use diff::diff;
pub use effective::effective;
pub use error::{ConfigError, ConfigErrors};
pub use load::{Loaded, Names, load_file, load_str};
pub use snapshot::Snapshot;
