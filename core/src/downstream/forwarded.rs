//! Who the client is, and what the upstream is told about it: `X-Forwarded-*`, `X-Real-IP`, `X-Request-ID`, `Via`,
//! `Forwarded`.
//!
//! What a peer says about others is believed only when the peer is a trusted proxy; otherwise it is replaced.

use std::net::IpAddr;

use ringway_config::snapshot::Server;
use ringway_filters::{AddressText, Facts, Scheme};
use ringway_http::{Fields, Known, RequestHead};

/// Lines of `X-Forwarded-For` or `Forwarded` that are looked at, from the last.
const LINES_MAX: usize = 16;
/// Our name in `Via` (RFC 9110, 7.6.3).
const VIA: &[u8] = b"1.1 ringway";
const VIA_NAME: &str = "ringway";
/// A request that passed this gateway more often is a loop.
pub(crate) const VIA_HOPS_MAX: usize = 8;
/// A longer `X-Request-ID` of a trusted peer is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The client's address: the peer's, or, behind trusted proxies, the last address of `X-Forwarded-For`, or without it
/// of `Forwarded`, that is not a trusted proxy's.
pub(crate) fn client_ip(fields: &Fields, peer: IpAddr, trusted: bool, server: &Server) -> IpAddr {
    match (trusted, fields.has(Known::XForwardedFor)) {
        (false, _) => peer,
        (true, true) => walk(fields, Known::XForwardedFor, peer, server, parse_entry).0,
        (true, false) => walk(fields, Known::Forwarded, peer, server, parse_element).0,
    }
}

/// Goes through a list of hops, from the one next to us on, as far as it is to be believed: to the first that is not
/// a trusted proxy. Says that one's address and its entry.
fn walk<'f>(
    fields: &'f Fields,
    list: Known,
    peer: IpAddr,
    server: &Server,
    parse: fn(&[u8]) -> Option<IpAddr>,
) -> (IpAddr, Option<&'f [u8]>) {
    let mut client = (peer, None);
    if !fields.has(list) {
        return client;
    }
    // The last lines, oldest first: proxies add theirs behind what a client may have made up.
    let mut lines = [&b""[..]; LINES_MAX];
    let mut count = 0;
    for line in fields.known_all(list) {
        if count == LINES_MAX {
            lines.rotate_left(1);
            count -= 1;
        }
        if let Some(slot) = lines.get_mut(count) {
            *slot = line;
        }
        count += 1;
    }
    for line in lines.into_iter().take(count).rev() {
        for entry in line.rsplit(|&byte| byte == b',') {
            // What cannot be read cannot be believed, nor can anything to the left of it.
            let Some(ip) = parse(entry) else { return client };
            client = (ip, Some(entry));
            if !server.trusts(ip) {
                return client;
            }
        }
    }
    client
}

/// The `for` of an element of `Forwarded` (RFC 7239). Names that hide an address (`unknown`, `_x`) are no addresses.
fn parse_element(element: &[u8]) -> Option<IpAddr> {
    let node = parameter(element, b"for")?;
    let bare = node.strip_prefix(b"[").and_then(|node| node.strip_suffix(b"]"));
    parse_entry(bare.unwrap_or(node))
}

/// A parameter of an element of `Forwarded`, without its quotes.
fn parameter<'e>(element: &'e [u8], name: &[u8]) -> Option<&'e [u8]> {
    element.split(|&byte| byte == b';').find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = pair.split_at_checked(at)?;
        let value = value.strip_prefix(b"=")?.trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        key.trim_ascii().eq_ignore_ascii_case(name).then_some(bare.unwrap_or(value))
    })
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip().to_canonical())
}

/// The scheme that the client used: what a trusted proxy says, or our own listener's.
pub(crate) fn scheme(fields: &Fields, peer: IpAddr, trusted: bool, server: &Server, own: Scheme) -> Scheme {
    let forwarded = || {
        let (_, element) = walk(fields, Known::Forwarded, peer, server, parse_element);
        parameter(element?, b"proto")
    };
    match fields.known(Known::XForwardedProto).or_else(|| trusted.then(forwarded).flatten()) {
        Some(value) if trusted && value.eq_ignore_ascii_case(b"https") => Scheme::Https,
        Some(value) if trusted && value.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ => own,
    }
}

/// Whether a peer's request id may be kept.
pub(crate) fn acceptable_request_id(value: &[u8]) -> Option<&str> {
    let fits =
        !value.is_empty() && value.len() <= REQUEST_ID_BYTES_MAX && value.iter().all(u8::is_ascii_graphic);
    if fits { std::str::from_utf8(value).ok() } else { None }
}

/// How often the request passed this gateway already.
pub(crate) fn via_hops(fields: &Fields) -> usize {
    if !fields.has(Known::Via) {
        return 0;
    }
    fields
        .known_all(Known::Via)
        .flat_map(|line| line.split(|&byte| byte == b','))
        .filter(|hop| {
            let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(VIA_NAME.as_bytes()))
        })
        .count()
}

/// Takes one off `Max-Forwards` (RFC 9110, 7.6.2: TRACE and OPTIONS). False: none is left.
pub(crate) fn may_forward(fields: &mut Fields) -> bool {
    let value = fields.known(Known::MaxForwards).and_then(|value| std::str::from_utf8(value).ok());
    let Some(left) = value.and_then(|value| value.parse::<u32>().ok()) else { return true };
    let Some(next) = left.checked_sub(1) else { return false };
    let mut digits = itoa::Buffer::new();
    let _ = fields.set_known(Known::MaxForwards, digits.format(next).as_bytes());
    true
}

/// Sets what the upstream is told. `text` is scratch. Values here are always valid, so a refusal of one cannot happen.
pub(crate) fn apply(head: &mut RequestHead, facts: &Facts, peer: IpAddr, trusted: bool, text: &mut String) {
    // A client on a Unix socket has no address to be told.
    let shown = |address: IpAddr| (!address.is_unspecified()).then(|| AddressText::new(address));
    let peer_text = shown(peer);
    let client = if facts.client_ip == peer { peer_text } else { shown(facts.client_ip) };
    let RequestHead { fields, .. } = head;
    if trusted {
        // Some of what a trusted proxy says goes on, and the peer is added to its list.
        text.clear();
        for line in fields.known_all(Known::XForwardedFor) {
            if let Ok(line) = std::str::from_utf8(line) {
                text.push_str(line);
                text.push_str(", ");
            }
        }
        match peer_text.as_ref().map(|peer| std::str::from_utf8(peer.as_bytes())) {
            Some(peer) => text.push_str(peer.unwrap_or_default()),
            None => text.truncate(text.len().saturating_sub(2)),
        }
        set_or_remove(fields, Known::XForwardedFor, text.as_bytes());
    } else {
        fields.remove_each(&[
            Known::XForwardedPort,
            Known::XForwardedPrefix,
            Known::XForwardedServer,
            Known::Forwarded,
        ]);
        set_or_remove(fields, Known::XForwardedFor, bytes_of(peer_text.as_ref()));
    }
    if !trusted || !fields.has(Known::XForwardedHost) {
        head.copy_authority_to(Known::XForwardedHost);
    }
    let fields = &mut head.fields;
    let _ = fields.set_known(Known::XForwardedProto, facts.scheme.as_str().as_bytes());
    set_or_remove(fields, Known::XRealIp, bytes_of(client.as_ref()));
    let _ = fields.set_known(Known::XRequestId, facts.request_id.as_bytes());
    let _ = fields.push_known(Known::Via, VIA);
}

fn bytes_of(address: Option<&AddressText>) -> &[u8] {
    address.map_or(&[], AddressText::as_bytes)
}

fn set_or_remove(fields: &mut Fields, name: Known, value: &[u8]) {
    if value.is_empty() {
        fields.remove_known(name);
    } else {
        let _ = fields.set_known(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringway_config::snapshot::{Driver, Workers};

    use super::*;

    fn server(trusted: &[&str]) -> Server {
        Server {
            workers: Workers::Auto,
            drain_timeout: Duration::ZERO,
            drain_delay: Duration::ZERO,
            driver: Driver::IoUring,
            max_connections: 1,
            trusted_proxies: trusted.iter().map(|net| net.parse().unwrap()).collect(),
            share_addresses: false,
            state_dir: None,
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let server = server(&["10.0.0.0/8", "127.0.0.1/32"]);
        let cases: &[(&[&str], &str, &str)] = &[
            (&[], "10.0.0.1", "10.0.0.1"),
            (&["203.0.113.7"], "10.0.0.1", "203.0.113.7"),
            (&["198.51.100.1, 203.0.113.7, 10.0.0.2"], "10.0.0.1", "203.0.113.7"),
            (&["198.51.100.1", "203.0.113.7:99"], "10.0.0.1", "203.0.113.7"),
            (&["[2001:db8::1]:443"], "10.0.0.1", "2001:db8::1"),
            (&["203.0.113.7, nonsense"], "10.0.0.1", "10.0.0.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.1", "10.0.0.3"),
            (&["203.0.113.7"], "192.0.2.1", "192.0.2.1"),
        ];
        for (lines, peer, expected) in cases {
            let mut fields = Fields::new();
            for line in *lines {
                fields.push("X-Forwarded-For", line.as_bytes()).unwrap();
            }
            let peer: IpAddr = peer.parse().unwrap();
            let client = client_ip(&fields, peer, server.trusts(peer), &server);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{lines:?} from {peer}");
        }
    }

    #[test]
    fn made_up_lines_do_not_hide_the_line_of_a_proxy() {
        let server = server(&["10.0.0.0/8"]);
        let mut fields = Fields::new();
        for _ in 0..40 {
            fields.push("X-Forwarded-For", b"6.6.6.6").unwrap();
        }
        fields.push("X-Forwarded-For", b"203.0.113.9").unwrap();
        let client = client_ip(&fields, "10.0.0.1".parse().unwrap(), true, &server);
        assert_eq!(client, "203.0.113.9".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn without_x_forwarded_for_the_standard_field_is_believed_the_same_way() {
        let server = server(&["10.0.0.0/8"]);
        let (http, https) = (Scheme::Http, Scheme::Https);
        let cases: &[(&[&str], &str, &str, Scheme)] = &[
            (&["for=203.0.113.7;proto=https"], "10.0.0.1", "203.0.113.7", https),
            (&["For=\"203.0.113.7:4711\" ; Proto=\"https\""], "10.0.0.1", "203.0.113.7", https),
            (&["for=\"[2001:db8::1]\""], "10.0.0.1", "2001:db8::1", http),
            (&["for=\"[2001:db8::1]:80\""], "10.0.0.1", "2001:db8::1", http),
            (&["for=1.1.1.1, for=203.0.113.7;proto=https, for=10.0.0.2"], "10.0.0.1", "203.0.113.7", https),
            (&["for=203.0.113.7;proto=https", "for=10.0.0.2;proto=http"], "10.0.0.1", "203.0.113.7", https),
            (&["for=1.1.1.1, for=unknown"], "10.0.0.1", "10.0.0.1", http),
            (&["proto=https"], "10.0.0.1", "10.0.0.1", http),
            (&["for=\"203.0.113.7, for=1.1.1.1\""], "10.0.0.1", "10.0.0.1", http),
            (&["for=203.0.113.7;proto=https"], "192.0.2.1", "192.0.2.1", http),
        ];
        for (lines, peer, client, proto) in cases {
            let mut fields = Fields::new();
            for line in *lines {
                fields.push("Forwarded", line.as_bytes()).unwrap();
            }
            let peer: IpAddr = peer.parse().unwrap();
            let trusted = server.trusts(peer);
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(client_ip(&fields, peer, trusted, &server), client, "{lines:?} from {peer}");
            assert_eq!(scheme(&fields, peer, trusted, &server, http), *proto, "{lines:?} from {peer}");
            fields.push("X-Forwarded-For", b"198.51.100.1").unwrap();
            let said = if trusted { "198.51.100.1".parse().unwrap() } else { peer };
            assert_eq!(client_ip(&fields, peer, trusted, &server), said, "{lines:?} beside X-Forwarded-For");
        }
    }

    #[test]
    fn only_our_own_hops_count_for_a_loop() {
        let mut fields = Fields::new();
        assert_eq!(via_hops(&fields), 0);
        fields.push("Via", b"1.1 ringway, 1.0 other, HTTP/1.1 Ringway (x)").unwrap();
        fields.push("Via", b"1.1 ringway").unwrap();
        assert_eq!(via_hops(&fields), 3);
    }

    #[test]
    fn request_ids_of_peers_are_visible_ascii_and_short() {
        assert_eq!(acceptable_request_id(b"abc-1"), Some("abc-1"));
        let (longest, longer) = ([b'a'; REQUEST_ID_BYTES_MAX], [b'a'; REQUEST_ID_BYTES_MAX + 1]);
        assert!(acceptable_request_id(&longest).is_some());
        for bad in [&b""[..], b"a b", b"\xff", &longer] {
            assert_eq!(acceptable_request_id(bad), None);
        }
    }
}
