//! Any bytes as one direction of a WebSocket.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringway_http::websocket::fuzz(input));
