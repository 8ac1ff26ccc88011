//! Bodies: where they end, what they hold, what is refused. Every row is fed in every split.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses its part of the support module"
)]

use ringway_http::h1::{
    BodyEvent, BodyReader, BodyStep, BodyWriter, CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX,
};
use ringway_http::{BodyError, Fields, Framing, Limits};

mod support;

fn check_chunked(rows: &[(&[u8], &str)]) {
    for (input, expected) in rows {
        let found = support::body(input, &Limits::default(), Framing::Chunked);
        assert_eq!(found, *expected, "{}", input.escape_ascii());
    }
}

#[test]
fn chunks_are_joined_and_the_rest_is_left() {
    check_chunked(&[
        (b"0\r\n\r\n", "||0"),
        (b"0\r\n\r\nGET /", "||5"),
        (b"5\r\nhello\r\n0\r\n\r\n", "hello||0"),
        (b"1\r\na\r\n02\r\nbc\r\n0a\r\n0123456789\r\n000\r\n\r\nx", "abc0123456789||1"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", "0123456789||0"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", "\\r\\n||0"),
        (b"0000000000000001\r\na\r\n0\r\n\r\n", "a||0"),
        (b"", "more"),
        (b"5\r\nhel", "more"),
        (b"0\r\n", "more"),
        (b"0\r\n\r", "more"),
        (b"ffffffffffffffff\r\nabc", "more"),
    ]);
}

#[test]
fn chunk_sizes_are_hexadecimal_digits_only() {
    check_chunked(&[
        (b"\r\n", "body.chunk.size"),
        (b"\n", "body.chunk.size"),
        (b"g\r\n", "body.chunk.size"),
        (b"0x5\r\n", "body.chunk.size"),
        (b"+5\r\n", "body.chunk.size"),
        (b"-5\r\n", "body.chunk.size"),
        (b" 5\r\n", "body.chunk.size"),
        (b"5 \r\n", "body.chunk.size"),
        (b"5\t;a\r\n", "body.chunk.size"),
        (b"1_0\r\n", "body.chunk.size"),
        (b"5,\r\n", "body.chunk.size"),
        (b"\xd9\xa5\r\n", "body.chunk.size"),
        (b";a\r\n", "body.chunk.size"),
        (b"00000000000000001\r\n", "body.chunk.size"),
        (b"10000000000000000\r\n", "body.chunk.size"),
        (b"fffffffffffffffff\r\n", "body.chunk.size"),
    ]);
}

#[test]
fn every_line_of_the_coding_ends_in_crlf() {
    check_chunked(&[
        (b"1\na", "body.chunk.line_end"),
        (b"1\r\r\na", "body.chunk.line_end"),
        (b"1\ra", "body.chunk.line_end"),
        (b"1;a\nb", "body.chunk.line_end"),
        (b"1;a\rb", "body.chunk.line_end"),
        (b"1\r\na\n", "body.chunk.line_end"),
        (b"1\r\na\rx", "body.chunk.line_end"),
        (b"1\r\nab\r\n", "body.chunk.end"),
        (b"1\r\na0\r\n\r\n", "body.chunk.end"),
        (b"0\r\n\n", "body.chunk.line_end"),
        (b"0\r\n\rx", "body.chunk.line_end"),
        (b"0\r\nX: a\n\r\n", "body.chunk.line_end"),
        (b"0\r\nX: a\r\n\n", "body.chunk.line_end"),
    ]);
}

#[test]
fn extensions_are_checked_and_dropped() {
    check_chunked(&[
        (b"1;a\r\nb\r\n0;c=d\r\n\r\n", "b||0"),
        (b"1; a = b ; c=\"d;\\\"\\r \xff\t\" ;e\r\nx\r\n0\r\n\r\n", "x||0"),
        (b"0;a=\"\"\r\n\r\n", "||0"),
        (b"1;\r\na", "body.chunk.extension"),
        (b"1;;a\r\na", "body.chunk.extension"),
        (b"1;a=\r\na", "body.chunk.extension"),
        (b"1;=a\r\na", "body.chunk.extension"),
        (b"1;a b\r\na", "body.chunk.extension"),
        (b"1;a \r\na", "body.chunk.extension"),
        (b"1;a=b=c\r\na", "body.chunk.extension"),
        (b"1;a=\"b\r\n\"\r\n", "body.chunk.extension"),
        (b"1;a=\"b\"c\r\n", "body.chunk.extension"),
        (b"1;a\0\r\n", "body.chunk.extension"),
        (b"1;a=\"\x01\"\r\n", "body.chunk.extension"),
        (b"1;a=\"\\\n\"\r\n", "body.chunk.line_end"),
        (b"1;\xff\r\n", "body.chunk.extension"),
    ]);
}

#[test]
fn extensions_are_bounded_per_line_and_per_body() {
    let line = |bytes: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(bytes - 2));
    let at = support::body(line(CHUNK_LINE_BYTES_MAX).as_bytes(), &Limits::default(), Framing::Chunked);
    assert_eq!(at, "a||0");
    let over = support::body(line(CHUNK_LINE_BYTES_MAX + 1).as_bytes(), &Limits::default(), Framing::Chunked);
    assert_eq!(over, "body.chunk.line");

    let lines = CHUNK_EXTENSION_BYTES_MAX / 128;
    // 128 bytes are counted for each line: what follows its first semicolon.
    let body = |lines: usize| format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "e".repeat(128)).repeat(lines));
    for (lines, expected) in [(lines, Ok(true)), (lines + 1, Err(BodyError::ChunkLine))] {
        let mut reader = BodyReader::new(Framing::Chunked, &Limits::default());
        assert_eq!(drain(&mut reader, body(lines).as_bytes()), expected, "{lines} lines");
    }
}

/// Whether the body is complete after this input.
fn drain(reader: &mut BodyReader, mut input: &[u8]) -> Result<bool, BodyError> {
    loop {
        let step = reader.step(input)?;
        input = input.split_at(step.consumed).1;
        match step.event {
            BodyEvent::Data(_) => {}
            BodyEvent::More => return Ok(false),
            BodyEvent::End => return Ok(true),
        }
    }
}

#[test]
fn trailers_are_read_and_what_must_not_be_there_is_left_out() {
    check_chunked(&[
        (b"0\r\nX-Sum: abc\r\ngrpc-status:0 \r\n\r\nrest", "|X-Sum:abc,grpc-status:0|4"),
        (b"1\r\na\r\n0\r\nContent-Length: 5\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "a|X:1|0"),
        (b"0\r\nHost: a\r\nAuthorization: b\r\nCookie: c\r\nContent-Type: d\r\nConnection: e\r\n\r\n", "||0"),
        (
            b"0\r\nSet-Cookie: a\r\ncache-control: b\r\nContent-Encoding: c\r\nX-Forwarded-For: d\r\n\r\n",
            "||0",
        ),
        (b"0\r\nProxy-Authorization: a\r\nWWW-Authenticate: b\r\nTrailer: c\r\n\r\n", "||0"),
        (b"0\r\nX : a\r\n\r\n", "body.trailer"),
        (b"0\r\n X: a\r\n\r\n", "body.trailer"),
        (b"0\r\nX: a\r\n b\r\n\r\n", "body.trailer"),
        (b"0\r\n: a\r\n\r\n", "body.trailer"),
        (b"0\r\nX\r\n\r\n", "body.trailer"),
        (b"0\r\nX: \0\r\n\r\n", "body.trailer"),
        (b"0\r\nX: a\rb\r\n\r\n", "body.trailer"),
        (b"0\r\nX: a\r\n", "more"),
    ]);
}

#[test]
fn trailers_are_held_to_the_limits_of_a_head() {
    let limits = Limits { head_bytes_max: 32, fields_max: 2, uri_bytes_max: 1 };
    let rows = [
        (format!("0\r\nX: {}\r\n\r\n", "x".repeat(25)), format!("|X:{}|0", "x".repeat(25))),
        (format!("0\r\nX: {}\r\n\r\n", "x".repeat(26)), "body.trailer.length".into()),
        (format!("0\r\nX: {}", "x".repeat(30)), "body.trailer.length".into()),
        ("0\r\nX: 1\r\nX: 2\r\n\r\n".into(), "|X:1,X:2|0".into()),
        ("0\r\nX: 1\r\nX: 2\r\nX: 3\r\n".into(), "body.trailer.length".into()),
    ];
    for (input, expected) in rows {
        assert_eq!(support::body(input.as_bytes(), &limits, Framing::Chunked), expected, "{input}");
    }
}

#[test]
fn other_framings_end_where_they_say() {
    let rows: [(Framing, &[u8], &str); 7] = [
        (Framing::None, b"", "||0"),
        (Framing::None, b"abc", "||3"),
        (Framing::Length(0), b"abc", "||3"),
        (Framing::Length(2), b"abc", "ab||1"),
        (Framing::Length(3), b"abc", "abc||0"),
        (Framing::Length(4), b"abc", "more"),
        (Framing::UntilClose, b"abc", "more"),
    ];
    for (framing, input, expected) in rows {
        assert_eq!(support::body(input, &Limits::default(), framing), expected, "{framing:?}");
    }
}

#[test]
fn the_end_of_input_is_an_error_unless_the_body_is_complete() {
    let rows: [(Framing, &[u8], Result<(), BodyError>); 9] = [
        (Framing::None, b"", Ok(())),
        (Framing::Length(0), b"", Ok(())),
        (Framing::Length(3), b"abc", Ok(())),
        (Framing::Length(3), b"ab", Err(BodyError::Truncated)),
        (Framing::UntilClose, b"", Ok(())),
        (Framing::UntilClose, b"abc", Ok(())),
        (Framing::Chunked, b"0\r\n\r\n", Ok(())),
        (Framing::Chunked, b"0\r\n\r", Err(BodyError::Truncated)),
        (Framing::Chunked, b"", Err(BodyError::Truncated)),
    ];
    for (framing, input, expected) in rows {
        let mut reader = BodyReader::new(framing, &Limits::default());
        feed(&mut reader, input);
        assert_eq!(reader.end_of_input(), expected, "{framing:?} {}", input.escape_ascii());
        assert_eq!(reader.is_done(), expected.is_ok());
    }
}

/// Feeds all of the input, but not beyond the body's end.
fn feed(reader: &mut BodyReader, mut input: &[u8]) {
    while !input.is_empty() && !reader.is_done() {
        let step = reader.step(input).unwrap();
        input = input.split_at(step.consumed).1;
    }
}

#[test]
fn data_comes_in_one_step_per_run() {
    let mut reader = BodyReader::new(Framing::Chunked, &Limits::default());
    let input = b"5;x\r\nhello\r\n3\r\nabc\r\n0\r\n\r\nnext";
    let steps: Vec<_> = (0..3)
        .scan(0, |at, _| {
            let step = reader.step(input.split_at(*at).1).unwrap();
            *at += step.consumed;
            Some(step)
        })
        .collect();
    let expected = [
        BodyStep { consumed: 10, event: BodyEvent::Data(5..10) },
        BodyStep { consumed: 8, event: BodyEvent::Data(5..8) },
        BodyStep { consumed: 7, event: BodyEvent::End },
    ];
    assert_eq!(steps, expected);
    assert!(reader.is_done());
}

#[test]
fn what_remains_is_known_for_stated_lengths() {
    let mut reader = BodyReader::new(Framing::Length(5), &Limits::default());
    assert_eq!(reader.remaining(), Some(5));
    assert_eq!(reader.step(b"abc").unwrap().consumed, 3);
    assert_eq!(reader.remaining(), Some(2));
    assert_eq!(reader.step(b"de").unwrap().event, BodyEvent::Data(0..2));
    assert!(reader.is_done());
    assert_eq!(reader.remaining(), Some(0));
    reader.reset(Framing::Chunked, &Limits::default());
    assert_eq!(reader.remaining(), None);
    reader.reset(Framing::UntilClose, &Limits::default());
    assert_eq!(reader.remaining(), None);
}

#[test]
fn a_failed_body_stays_failed() {
    let mut reader = BodyReader::new(Framing::Chunked, &Limits::default());
    assert_eq!(reader.step(b"x"), Err(BodyError::ChunkSize));
    assert_eq!(reader.step(b"0\r\n\r\n"), Err(BodyError::ChunkSize));
    assert_eq!(reader.end_of_input(), Err(BodyError::ChunkSize));
    assert!(!reader.is_done());
}

#[test]
fn what_the_writer_writes_the_reader_reads() {
    let data: Vec<u8> = (0u8..=255).cycle().take(5000).collect();
    let mut trailers = Fields::new();
    trailers.push("X-Sum", b"1").unwrap();
    trailers.push("Content-Length", b"1").unwrap();
    for size in [1, 9, 15, 16, 17, 255, 256, 4096, 5000] {
        let mut writer = BodyWriter::new(Framing::Chunked);
        let mut wire = Vec::new();
        for piece in data.chunks(size) {
            writer.before_data(piece.len(), &mut wire).unwrap();
            wire.extend_from_slice(piece);
            writer.after_data(&mut wire);
            // No data must not end the body.
            writer.before_data(0, &mut wire).unwrap();
            writer.after_data(&mut wire);
        }
        writer.finish(&trailers, &mut wire).unwrap();
        let mut reader = BodyReader::new(Framing::Chunked, &Limits::default());
        let (mut read, mut at) = (Vec::new(), 0);
        while !reader.is_done() {
            let rest = wire.split_at(at).1;
            let step = reader.step(rest).unwrap();
            if let BodyEvent::Data(range) = step.event {
                read.extend_from_slice(rest.get(range).unwrap());
            }
            at += step.consumed;
        }
        assert_eq!(at, wire.len());
        assert_eq!(read, data);
        assert_eq!(reader.trailers().iter().collect::<Vec<_>>(), [("X-Sum", &b"1"[..])]);
    }
}
