//! The demonstration that runs without a file: a configuration, a folder of files, and an origin with two
//! endpoints, all of them brought along.

mod origin;
mod request;

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::control::Source;

/// What is configured.
const CONFIG: &str = include_str!("demo/demo.toml");
/// What is printed once it runs.
const GREETING: &str = include_str!("demo/greeting.txt");
const PAGE: &str =
    "<!doctype html>\n<title>Ringway</title>\n<p>This page is a file, served by the gateway itself.</p>\n";

/// A demonstration whose origin runs. Its folder goes when it is dropped.
#[derive(Debug)]
pub struct Demo {
    folder: PathBuf,
    text: String,
}

impl Demo {
    /// Starts the origin and writes the files.
    pub fn start() -> io::Result<Self> {
        let mut text = CONFIG.to_owned();
        for (place, name) in [("\"127.0.0.1:1\"", "one"), ("\"127.0.0.1:2\"", "two")] {
            let address = origin::start(name)?;
            text = text.replace(place, &format!("\"{address}\""));
        }
        let folder = std::env::temp_dir().join(format!("ringway-demonstration-{}", std::process::id()));
        fs::create_dir_all(folder.join("files"))?;
        let demo = Self { folder, text };
        fs::write(demo.folder.join("files/index.html"), PAGE)?;
        Ok(demo)
    }

    /// What the engine runs.
    pub fn source(&self) -> Source {
        Source::Embedded {
            name: "the demonstration".to_owned(),
            text: self.text.clone(),
            base: self.folder.clone(),
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It is in the system's folder for temporary files, which is emptied in any case.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The lines to try.
pub fn greeting() -> &'static str {
    GREETING
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringway_config::load::{Names, Secrets, load_str};

    use super::*;

    #[test]
    fn its_configuration_loads_and_its_lines_have_routes() {
        let demo = Demo::start().unwrap();
        let folder = demo.folder.clone();
        let loaded = load_str("demo", &demo.text, &folder, &mut Names::default(), Secrets::Resolve).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert!(!demo.text.contains("127.0.0.1:1\"") && !demo.text.contains("127.0.0.1:2\""));
        for line in GREETING.lines().filter_map(|line| line.split_once("http://127.0.0.1:8080")) {
            let path = line.1.split_whitespace().next().unwrap_or("/");
            let method = if line.0.contains("DELETE") { "DELETE" } else { "GET" };
            let question =
                ringway_config::explain::Question { listener: None, method, url: path, headers: &[] };
            let answer = ringway_config::explain::explain(&loaded.snapshot, &question).unwrap();
            let expected = match path {
                "/nowhere" => "=> 404",
                "/hello" if method == "DELETE" => "=> 405",
                "to" | "and" => continue,
                _ => "=> route `",
            };
            assert!(answer.contains(expected), "{path}: {answer}");
        }
        drop(demo);
        assert!(!Path::new(&folder).exists());
    }
}
