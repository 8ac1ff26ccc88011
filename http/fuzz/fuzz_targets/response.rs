//! Any bytes as a response head.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringway_http::h1::fuzz::response(input));
