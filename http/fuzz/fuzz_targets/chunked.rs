//! Any bytes as a chunked body.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringway_http::h1::fuzz::chunked(input));
