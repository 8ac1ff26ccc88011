//! Any bytes as a head of HTTP/1.1 that is passed on in HTTP/2.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringway_http::h2::fuzz::heads(input));
