//! The gateway's own binary: given, or built here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Builds the gateway as users run it, which takes no time when nothing has changed, and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace around this room")?;
    eprintln!("building ringway in release");
    let output = Command::new(cargo)
        .args(["build", "--release", "-p", "ringway-core", "--message-format=json-render-diagnostics"])
        .current_dir(house)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be run: say where the gateway is with --ringway PATH")?;
    ensure!(output.status.success(), "ringway could not be built");
    let text = String::from_utf8_lossy(&output.stdout);
    executable(&text).context("cargo does not say where it has put ringway")
}

/// The gateway's binary, from what cargo says of each thing that it has built.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = PathBuf::from(message.get("executable")?.as_str()?);
        (path.file_name()? == "ringway").then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_what_was_built() {
        let messages = "\
{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"ringway_core\"},\"executable\":null}
not json
{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"ringway\"},\"executable\":\"/a/release/ringway\"}
{\"reason\":\"build-finished\",\"success\":true}
";
        assert_eq!(executable(messages), Some(PathBuf::from("/a/release/ringway")));
        assert_eq!(executable("{}"), None);
    }
}
