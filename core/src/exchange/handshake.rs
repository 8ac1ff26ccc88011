//! The opening handshake of a WebSocket between HTTP/1.1, which has a key and a proof of having read it (RFC 6455, 4),
//! and HTTP/2, where the stream itself is the proof (RFC 8441, 5).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway_http::{Fields, InvalidField};

/// What the key is joined with (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY: &str = "Sec-WebSocket-Key";
const ACCEPT: &str = "Sec-WebSocket-Accept";
const VERSION: &str = "Sec-WebSocket-Version";

/// Whether that is what an `Upgrade` asks for.
pub(super) fn is_websocket(upgrade: &[u8]) -> bool {
    upgrade.eq_ignore_ascii_case(b"websocket")
}

/// Gives a request that came on a stream what an HTTP/1.1 endpoint asks for.
pub(super) fn add_key(fields: &mut Fields) -> Result<(), InvalidField> {
    let mut nonce = [0_u8; 16];
    // Without randomness it is a key all the same: it proves nothing that a stream has not proven.
    let _ = aws_lc_rs::rand::fill(&mut nonce);
    fields.set(KEY, STANDARD.encode(nonce).as_bytes())?;
    if fields.value(VERSION).is_none() { fields.push(VERSION, b"13") } else { Ok(()) }
}

/// The proof that an endpoint on a stream need not give and an HTTP/1.1 client asks for.
pub(super) fn add_accept(request: &Fields, response: &mut Fields) -> Result<(), InvalidField> {
    let key = request.value(KEY).unwrap_or_default();
    response.set(ACCEPT, accept_of(key).as_bytes())
}

/// Whether an HTTP/1.1 endpoint has read the key.
pub(super) fn is_accepted(request: &Fields, response: &Fields) -> bool {
    let key = request.value(KEY).unwrap_or_default();
    response.value(ACCEPT).is_some_and(|accept| accept == accept_of(key).as_bytes())
}

fn accept_of(key: &[u8]) -> String {
    let joined = [key, GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // RFC 6455, 1.3.
        assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_answered_by_its_own_proof_alone() {
        let (mut request, mut response) = (Fields::new(), Fields::new());
        add_key(&mut request).unwrap();
        let key = request.value(KEY).unwrap().to_vec();
        assert_eq!(STANDARD.decode(&key).unwrap().len(), 16);
        assert_eq!(request.value(VERSION), Some(&b"13"[..]));
        assert!(!is_accepted(&request, &response));
        add_accept(&request, &mut response).unwrap();
        assert!(is_accepted(&request, &response));
        add_key(&mut request).unwrap();
        assert_ne!(request.value(KEY), Some(key.as_slice()));
        assert!(!is_accepted(&request, &response));
    }
}
