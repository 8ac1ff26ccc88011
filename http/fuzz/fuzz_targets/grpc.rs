//! Any bytes as a gRPC-web body in base64, a timeout, and a message about health.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringway_http::grpc::fuzz::grpc(input));
