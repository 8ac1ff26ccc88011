//! The command: what is typed after `ringway`, one file for each verb.
//!
//! It ends with 0 when all went well, with 1 when a configuration is refused or the gateway could not run, and
//! with 2 when the command itself was not understood.

mod arguments;
mod check;
mod explain;
mod routes;
mod run;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use arguments::Command;
use ringway_config::error::ConfigErrors;
use ringway_config::load::{Names, Secrets, load_file};
use ringway_config::snapshot::Snapshot;

const HELP: &str = "\
Ringway, an API gateway.

Usage:
  ringway [run] [-c FILE]                   run the gateway; without a file, a demonstration
  ringway check [OPTIONS] FILE              say whether a file is valid, or everything that is wrong with it
      --effective                           print it with every default filled in
      --no-secrets                          leave env: and file: references alone
  ringway explain -c FILE METHOD URL        tell what would happen to a request, and why
      -H, --header 'Name: value'            a header of the request; may be repeated
      -l, --listener NAME                   the listener that it comes in on
  ringway routes -c FILE                    list the routes in the order in which they are asked
  ringway --version
  ringway --help

  -c, --config FILE                         the configuration file

Signals: SIGTERM and SIGINT end it after a drain, a second one at once; SIGHUP reads the file again; SIGUSR1
opens the access log again, after it was moved.
";

/// Why a command failed; each has its exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command was understood, and did not succeed: 1.
    Failed(String),
    /// The command was not understood: 2.
    Usage(String),
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let count = errors.0.len();
        let noun = if count == 1 { "error" } else { "errors" };
        Self::Failed(format!("{errors}\n{count} {noun}; nothing was started or changed"))
    }
}

/// Runs what the arguments (without the program's name) ask for.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match arguments::parse(arguments).map_err(Failure::Usage).and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            say(&format!("{message}\n"));
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            say(&format!("ringway: {message}\nTry `ringway --help`.\n"));
            ExitCode::from(2)
        }
    }
}

fn perform(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run { config } => run::run(config),
        Command::Check { file, effective, secrets } => check::check(&file, effective, secrets),
        Command::Explain(asked) => explain::explain(&asked),
        Command::Routes { config } => routes::routes(&config),
        Command::Version => {
            print(&format!("ringway {}\n", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Command::Help => {
            print(HELP);
            Ok(())
        }
    }
}

/// Reads a file for a command that starts nothing; warnings go to standard error.
fn load(file: &Path, secrets: Secrets) -> Result<Snapshot, Failure> {
    let loaded = load_file(file, &mut Names::default(), secrets)?;
    for warning in &loaded.warnings {
        say(&format!("{warning} (warning)\n"));
    }
    Ok(loaded.snapshot)
}

/// Writes to standard output. A reader that has left, such as `head`, is no error.
pub(crate) fn print(text: &str) {
    write(&mut io::stdout().lock(), text);
}

/// Writes to standard error.
fn say(text: &str) {
    write(&mut io::stderr().lock(), text);
}

fn write(out: &mut impl Write, text: &str) {
    // There is nobody left to tell.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
