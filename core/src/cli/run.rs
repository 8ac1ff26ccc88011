//! `ringway run`: the gateway with a file, or the demonstration.

use std::path::PathBuf;

use super::Failure;
use crate::control::{self, EngineError, Options, Source};
use crate::demo::Demo;
use crate::log::panics;

/// Runs until the gateway is told to end.
pub(super) fn run(config: Option<PathBuf>) -> Result<(), Failure> {
    panics::hear();
    match config {
        Some(file) => control::run(Options { source: Source::File(file), on_ready: None })
            .map_err(|error| failure(error, "")),
        None => demonstrate(),
    }
}

fn demonstrate() -> Result<(), Failure> {
    const HINT: &str =
        "\nThis was the demonstration, whose addresses are fixed. To run a file: ringway run -c FILE";
    let demo =
        Demo::start().map_err(|error| Failure::Failed(format!("ringway: the demonstration: {error}")))?;
    let options = Options {
        source: demo.source(),
        on_ready: Some(Box::new(|_| super::print(crate::demo::greeting()))),
    };
    control::run(options).map_err(|error| failure(error, HINT))
}

fn failure(error: EngineError, hint: &str) -> Failure {
    match error {
        EngineError::Config(errors) => errors.into(),
        EngineError::Refused(message) => Failure::Failed(format!("ringway: {message}{hint}")),
        other @ (EngineError::Runtime(_)
        | EngineError::System { .. }
        | EngineError::Worker { .. }
        | EngineError::NoWorkers) => Failure::Failed(format!("ringway: {other}")),
    }
}
