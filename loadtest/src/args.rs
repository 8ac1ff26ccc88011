//! The words of the command line: `--name value` pairs and `--name` switches, each used or refused.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What was typed after the verb.
#[derive(Debug)]
pub(crate) struct Args {
    words: Vec<String>,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) struct Url {
    pub(crate) is_tls: bool,
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Args {
    pub(crate) fn parse(words: Vec<String>) -> Result<Self> {
        if let Some(first) = words.first().filter(|word| !word.starts_with("--")) {
            bail!("unexpected `{first}` (see --help)");
        }
        Ok(Self { words })
    }

    /// Whether a switch was given.
    pub(crate) fn switch(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word.strip_prefix("--") != Some(name));
        self.words.len() < before
    }

    /// The value of an option.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        let Some(at) = self.words.iter().position(|word| word.strip_prefix("--") == Some(name)) else {
            return Ok(None);
        };
        self.words.remove(at);
        if self.words.get(at).is_none_or(|word| word.starts_with("--")) {
            bail!("--{name} needs a value");
        }
        Ok(Some(self.words.remove(at)))
    }

    pub(crate) fn optional_number<N: FromStr>(&mut self, name: &str) -> Result<Option<N>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse()
            .map(Some)
            .ok()
            .with_context(|| format!("--{name}: `{text}` is not a number in its range"))
    }

    pub(crate) fn number<N: FromStr>(&mut self, name: &str, default: N) -> Result<N> {
        Ok(self.optional_number(name)?.unwrap_or(default))
    }

    pub(crate) fn seconds(&mut self, name: &str, default: f64) -> Result<Duration> {
        Duration::try_from_secs_f64(self.number(name, default)?)
            .with_context(|| format!("--{name}: not a time"))
    }

    /// The `--url` that must be given.
    pub(crate) fn url(&mut self) -> Result<Url> {
        self.optional_url()?.context("--url is needed, such as --url http://127.0.0.1:8080/")
    }

    /// The `--url`, if there is one.
    pub(crate) fn optional_url(&mut self) -> Result<Option<Url>> {
        self.text("url")?.map(|text| Url::parse(&text)).transpose()
    }

    /// Refuses what was typed and not used.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.words.first() {
            Some(word) => bail!("unknown or repeated `{word}` (see --help)"),
            None => Ok(()),
        }
    }
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (is_tls, port, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, 80, rest),
            (_, Some(rest)) => (true, 443, rest),
            (None, None) => bail!("`{text}` does not begin with http:// or https://"),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, "/".to_owned()),
        };
        let address = authority
            .to_socket_addrs()
            .or_else(|_| (authority, port).to_socket_addrs())
            .ok()
            .and_then(|mut found| found.next())
            .with_context(|| format!("`{authority}` has no address"))?;
        Ok(Self { is_tls, address, authority: authority.to_owned(), path })
    }

    /// The root of an address, in clear.
    pub(crate) fn root(address: SocketAddr) -> Self {
        Self { is_tls: false, address, authority: address.to_string(), path: "/".to_owned() }
    }

    /// The bytes of one GET.
    pub(crate) fn request(&self) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path, self.authority).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Args {
        Args::parse(text.split_whitespace().map(str::to_owned).collect()).unwrap()
    }

    #[test]
    fn options_are_read_once_and_what_is_left_is_refused() {
        let mut typed = args("--rounds 3 --no-write --seconds 0.5");
        assert_eq!(typed.number("rounds", 5).unwrap(), 3);
        assert!(typed.switch("no-write") && !typed.switch("no-write"));
        assert!(typed.finish().is_err(), "--seconds was not asked for");
        assert_eq!(typed.seconds("seconds", 1.0).unwrap(), Duration::from_millis(500));
        assert_eq!(typed.number("connections", 64).unwrap(), 64);
        typed.finish().unwrap();
        assert!(args("--rounds three").number("rounds", 5).is_err());
        assert!(args("--rounds --no-write").number("rounds", 5).is_err());
        assert!(args("--seconds -1").seconds("seconds", 1.0).is_err());
        assert!(Args::parse(vec!["rounds".to_owned()]).is_err());
    }

    #[test]
    fn a_url_is_an_address_an_authority_and_a_path() {
        for (text, address, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/"),
            ("http://127.0.0.1:8080/a/b?c=d", "127.0.0.1:8080", "/a/b?c=d"),
            ("http://127.0.0.1/", "127.0.0.1:80", "/"),
            ("https://127.0.0.1/a", "127.0.0.1:443", "/a"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.address.to_string(), url.path.as_str()), (address.to_owned(), path));
            assert_eq!(url.is_tls, text.starts_with("https:"));
        }
        assert!(Url::parse("ftp://127.0.0.1/").is_err());
    }
}
