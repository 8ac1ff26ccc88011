//! The gateway binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringway_core::cli::main(std::env::args_os().skip(1))
}
