//! Any bytes as what a client sends after the preface of HTTP/2.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringway_http::h2::fuzz::server(input));
