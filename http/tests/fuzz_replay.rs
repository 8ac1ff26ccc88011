//! The fuzz targets' entry points on a stable compiler: over the committed corpus, over mutations of it, and
//! over noise.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use ringway_http::{grpc, websocket};
use ringway_http::{h1, h2};

/// Inputs made from each target's corpus. Each is fed in several splits, which is where the time goes.
const ROUNDS: u64 = 40_000;

/// The same where each input takes several connections.
const ROUNDS_OF_CONNECTIONS: u64 = 8_000;

/// What mutations put in: the bytes at which readings part.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\0",
    b"\"",
    b"\\",
    b"%2e",
    b"..",
    b"//",
    b"0\r\n\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: x, close\r\n",
    b"Host: b\r\n",
    b"\xff",
    b"\x81\x7e",
    b"\x82\xff",
    b"\x88\x02",
    b"=",
    b"AAAA",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Marsaglia's xorshift: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 11).unwrap() % bound.max(1)
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "the corpus of {name} is missing");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let until = at + random.below(input.len() + 1 - at);
    match random.below(6) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 => drop(input.drain(at..until.min(at + 4))),
        2 => {
            let again = input[at..until].to_vec();
            drop(input.splice(at..at, again));
        }
        3 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            drop(input.splice(at.., other[from..].iter().copied()));
        }
        4 => input.truncate(at),
        _ => drop(input.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
    }
    input.truncate(3000);
}

fn run(name: &str, entry: fn(&[u8]), seed: u64) {
    run_rounds(name, entry, seed, ROUNDS);
}

fn run_rounds(name: &str, entry: fn(&[u8]), seed: u64, rounds: u64) {
    let seeds = corpus(name);
    for input in &seeds {
        check(entry, input, 0);
    }
    for round in 0..rounds {
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round.wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1;
        let mut random = Random(seed);
        let mut input = if round % 16 == 0 {
            (0..random.below(64)).map(|_| random.next().to_le_bytes()[3]).collect()
        } else {
            seeds[random.below(seeds.len())].clone()
        };
        for _ in 0..=random.below(4) {
            mutate(&mut input, &seeds, &mut random);
        }
        check(entry, &input, seed);
    }
}

fn check(entry: fn(&[u8]), input: &[u8], seed: u64) {
    let outcome = std::panic::catch_unwind(|| entry(input));
    assert!(outcome.is_ok(), "seed {seed:#x}, input {:?}", String::from_utf8_lossy(input));
}

#[test]
fn requests_keep_their_invariants() {
    run("request", h1::fuzz::request, 1);
}

#[test]
fn responses_keep_their_invariants() {
    run("response", h1::fuzz::response, 2);
}

#[test]
fn chunked_bodies_keep_their_invariants() {
    run("chunked", h1::fuzz::chunked, 3);
}

#[test]
fn websockets_keep_their_invariants() {
    run("websocket", websocket::fuzz, 4);
}

#[test]
fn grpc_keeps_its_invariants() {
    run("grpc", grpc::fuzz::grpc, 5);
}

#[test]
fn connections_of_http_2_keep_their_invariants() {
    run_rounds("h2_server", h2::fuzz::server, 4, ROUNDS_OF_CONNECTIONS);
}

#[test]
fn heads_keep_their_meaning_in_http_2() {
    run_rounds("h2_heads", h2::fuzz::heads, 5, ROUNDS_OF_CONNECTIONS);
}
