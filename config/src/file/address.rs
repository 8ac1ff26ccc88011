//! Addresses: where to listen, and where to connect.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::snapshot::Address;

/// An address to listen on: an IP and a port, or `unix:PATH`.
pub(crate) fn parse_bind(text: &str, base: &Path) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_unix(path, base);
    }
    parse_socket(text).map(Address::Socket)
}

/// An IP and a port to listen on.
pub(crate) fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let fix = match text.rsplit_once(':') {
            Some(("" | "*", port)) => format!("; write `0.0.0.0:{port}` for all addresses"),
            Some(("localhost", port)) => format!("; write `127.0.0.1:{port}`"),
            Some(_) | None => String::new(),
        };
        format!("expected an IP address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"{fix}")
    })
}

/// An address to connect to: an IP or a name, and a port, or `unix:PATH`.
pub(crate) fn parse_endpoint(text: &str, base: &Path) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_unix(path, base);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.trim_end_matches('/');
        return Err(format!("an endpoint has no scheme: write `{rest}` without `{scheme}://`"));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(no_port(text)) } else { Ok(Address::Socket(address)) };
    }
    let Some((name, port)) = text.rsplit_once(':') else { return Err(no_port(text)) };
    let port = port.parse().ok().filter(|&port: &u16| port != 0).ok_or_else(|| no_port(text))?;
    if !is_name(name) {
        return Err(
            "expected an IP address or a name and a port, such as \"127.0.0.1:3000\", \"[::1]:3000\" or \
                    \"users.internal:80\", or \"unix:/run/users.sock\""
                .to_owned(),
        );
    }
    Ok(Address::Name(Arc::from(name.to_ascii_lowercase()), port))
}

fn no_port(text: &str) -> String {
    let name = text.rsplit_once(':').filter(|(name, _)| is_name(name)).map_or(text, |(name, _)| name);
    format!("expected a port from 1 to 65535 at the end, such as \"{name}:80\"")
}

/// The longest path that a socket address can hold, less its final zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

fn parse_unix(path: &str, base: &Path) -> Result<Address, String> {
    if path.is_empty() {
        return Err("expected a path after `unix:`, such as \"unix:/run/ringway.sock\"".to_owned());
    }
    let path = base.join(path);
    if path.as_os_str().len() > UNIX_PATH_BYTES_MAX {
        return Err(format!(
            "a Unix socket's path is at most {UNIX_PATH_BYTES_MAX} bytes; use a shorter one"
        ));
    }
    Ok(Address::Unix(path))
}

/// A DNS name: labels of letters, digits, `-` and `_`; not an IP address with a digit too many.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_ips_names_and_unix_sockets() {
        let base = Path::new("/etc/ringway");
        let name = |name: &str, port| Some(Address::Name(name.into(), port));
        let socket = |text: &str| Some(Address::Socket(text.parse().unwrap()));
        let table = [
            ("127.0.0.1:3000", socket("127.0.0.1:3000")),
            ("[::1]:3000", socket("[::1]:3000")),
            ("Users.internal:80", name("users.internal", 80)),
            ("localhost:80", name("localhost", 80)),
            ("unix:/run/a.sock", Some(Address::Unix("/run/a.sock".into()))),
            ("unix:a.sock", Some(Address::Unix("/etc/ringway/a.sock".into()))),
            ("unix:", None),
            ("", None),
            ("127.0.0.1", None),
            ("127.0.0.1:0", None),
            ("127.0.0.1:65536", None),
            ("127.0.0.256:80", None),
            ("users.internal", None),
            ("http://users:80", None),
            ("us ers:80", None),
            ("::1:80:", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_endpoint(text, base).ok(), expected, "{text}");
        }
    }

    #[test]
    fn names_are_not_listened_on() {
        let table =
            [("0.0.0.0:8080", true), ("[::]:0", true), ("localhost:80", false), (":80", false), ("", false)];
        for (text, expected) in table {
            assert_eq!(parse_bind(text, Path::new("/")).is_ok(), expected, "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_BYTES_MAX));
        assert!(parse_bind(&long, Path::new("/")).is_err());
        assert!(parse_bind(long.strip_suffix('x').unwrap(), Path::new("/")).is_ok());
    }
}
