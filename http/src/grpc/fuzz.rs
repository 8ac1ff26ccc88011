//! Entry points of the fuzz targets: any bytes, and what must hold for all of them.

use crate::fields::Fields;

use super::health;
use super::timeout;
use super::web::{Coding, Decode, Encode, WebError};

/// Any bytes as a body of gRPC-web in base64, as a timeout, and as a message about health.
pub fn grpc(input: &[u8]) {
    web(input);
    if let Some(time) = timeout::parse(input) {
        let mut again = Vec::new();
        timeout::write(time, &mut again);
        assert_eq!(timeout::parse(&again), Some(time), "a timeout that was read is written as another");
    }
    if let Ok(service) = health::read_request(input) {
        let mut again = Vec::new();
        assert_eq!(health::write_request(service, &mut again), Ok(()));
        assert_eq!(health::read_request(&again), Ok(service));
    }
    if let Ok(serving) = health::read_response(input) {
        let mut again = Vec::new();
        assert_eq!(health::write_response(serving, &mut again), Ok(()));
        assert_eq!(health::read_response(&again), Ok(serving));
    }
}

/// A body reads the same however it was split, and what was read is read again after it was written.
fn web(input: &[u8]) {
    let whole = decode(input, input.len());
    for piece in [1, 2, 3, 5] {
        assert_eq!(decode(input, piece), whole, "a split body has another outcome");
    }
    let Ok(plain) = whole else { return };
    for piece in [1, 2, 3, 7, plain.len()] {
        let encode = Encode::new(Coding::Text);
        let mut text = Vec::new();
        for bytes in plain.chunks(piece.max(1)) {
            encode.push(bytes, &mut text);
        }
        assert_eq!(encode.finish(Some(&Fields::new()), &mut text), Ok(()));
        assert_eq!(decode(&text, text.len()).as_ref(), Ok(&plain));
    }
}

fn decode(input: &[u8], piece: usize) -> Result<Vec<u8>, WebError> {
    let mut decode = Decode::new(Coding::Text);
    let mut out = Vec::new();
    for bytes in input.chunks(piece.max(1)) {
        decode.push(bytes, &mut out)?;
    }
    decode.finish()?;
    Ok(out)
}
