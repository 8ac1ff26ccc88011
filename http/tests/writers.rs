//! What is written: heads in full, and bodies held to what their heads state.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ringway_http::h1::{BodySize, BodyWriter, reason_phrase, write_interim, write_request, write_response};
use ringway_http::{BodyError, Fields, Framing, Persistence, Version};

/// One line of everything that a writer must decide itself, between two fields that pass.
fn fields() -> Fields {
    let mut fields = Fields::new();
    let lines = [
        ("Accept", "a"),
        ("Host", "wrong"),
        ("Connection", "keep-alive, x"),
        ("Keep-Alive", "5"),
        ("Proxy-Connection", "close"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Transfer-Encoding", "gzip"),
        ("Upgrade", "h2c"),
        ("Content-Length", "77"),
        ("x-last", "b"),
    ];
    for (name, value) in lines {
        fields.push(name, value.as_bytes()).unwrap();
    }
    fields
}

fn request(framing: Framing, upgrade: Option<&[u8]>) -> String {
    let mut out = b"kept".to_vec();
    write_request(&mut out, "PUT", "/p?q", "h:1", &fields(), framing, upgrade);
    String::from_utf8(out).unwrap().strip_prefix("kept").unwrap().to_owned()
}

#[test]
fn a_request_states_its_host_and_framing_once() {
    let start = "PUT /p?q HTTP/1.1\r\nHost: h:1\r\nAccept: a\r\nx-last: b\r\n";
    let rows: [(Framing, Option<&[u8]>, &str); 5] = [
        (Framing::None, None, ""),
        (Framing::Length(0), None, "Content-Length: 0\r\n"),
        (Framing::Length(u64::MAX), None, "Content-Length: 18446744073709551615\r\n"),
        (Framing::Chunked, None, "Transfer-Encoding: chunked\r\n"),
        (Framing::None, Some(b"websocket"), "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    ];
    for (framing, upgrade, end) in rows {
        assert_eq!(request(framing, upgrade), format!("{start}{end}\r\n"), "{framing:?}");
    }
}

/// A response to write, and what is written after the status line and the fields that pass.
struct Row {
    client: Version,
    status: u16,
    size: BodySize,
    persistence: Persistence,
    end: &'static str,
    framing: Framing,
    lives: Persistence,
}

#[test]
fn a_response_is_framed_for_its_client() {
    use BodySize::{Forbidden, Known, Unknown};
    use Framing::{Chunked, Length, None, UntilClose};
    use Persistence::{Close, KeepAlive};
    use Version::{Http10, Http11};
    let rows = [
        (Http11, 200, Known(5), KeepAlive, "Content-Length: 5\r\n", Length(5), KeepAlive),
        (Http11, 200, Known(0), Close, "Content-Length: 0\r\nConnection: close\r\n", Length(0), Close),
        (Http11, 200, Unknown, KeepAlive, "Transfer-Encoding: chunked\r\n", Chunked, KeepAlive),
        (Http11, 200, Unknown, Close, "Transfer-Encoding: chunked\r\nConnection: close\r\n", Chunked, Close),
        (
            Http10,
            200,
            Known(5),
            KeepAlive,
            "Content-Length: 5\r\nConnection: keep-alive\r\n",
            Length(5),
            KeepAlive,
        ),
        (Http10, 200, Known(5), Close, "Content-Length: 5\r\nConnection: close\r\n", Length(5), Close),
        (Http10, 200, Unknown, KeepAlive, "Connection: close\r\n", UntilClose, Close),
        (Http11, 200, Forbidden, KeepAlive, "", None, KeepAlive),
        (Http11, 304, Forbidden, KeepAlive, "", None, KeepAlive),
        (Http11, 304, Unknown, KeepAlive, "", None, KeepAlive),
        (Http11, 204, Forbidden, KeepAlive, "", None, KeepAlive),
        (Http11, 204, Unknown, KeepAlive, "", None, KeepAlive),
        (Http11, 204, Known(3), Close, "Connection: close\r\n", None, Close),
    ];
    for (client, status, size, persistence, end, framing, lives) in rows {
        check(&Row { client, status, size, persistence, end, framing, lives });
    }
}

fn check(row: &Row) {
    let mut out = Vec::new();
    let (writer, lives) =
        write_response(&mut out, row.client, row.status, &fields(), row.size, row.persistence, None);
    let context = format!("{:?} {} {:?} {:?}", row.client, row.status, row.size, row.persistence);
    // Without a body of its own, a HEAD or a 304 passes on the length of what it stands for.
    let keeps_length = row.framing == Framing::None && row.status != 204;
    let length = if keeps_length { "Content-Length: 77\r\n" } else { "" };
    let phrase = reason_phrase(row.status);
    let head = format!(
        "HTTP/1.1 {} {phrase}\r\nAccept: a\r\nHost: wrong\r\n{length}x-last: b\r\n{}\r\n",
        row.status, row.end
    );
    assert_eq!(String::from_utf8(out).unwrap(), head, "{context}");
    assert_eq!((writer.framing(), lives), (row.framing, row.lives), "{context}");
}

#[test]
fn a_switch_of_protocols_says_to_what() {
    let mut out = Vec::new();
    let fields = Fields::new();
    let (writer, _) = write_response(
        &mut out,
        Version::Http11,
        101,
        &fields,
        BodySize::Forbidden,
        Persistence::KeepAlive,
        Some(b"websocket"),
    );
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), head);
    assert_eq!(writer.framing(), Framing::None);
}

#[test]
fn interim_responses_have_fields_and_no_framing() {
    let mut out = Vec::new();
    write_interim(&mut out, 100, &Fields::new());
    write_interim(&mut out, 103, &fields());
    let expected = "HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nAccept: a\r\nHost: wrong\r\nx-last: b\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_body_is_held_to_its_stated_length() {
    let mut out = Vec::new();
    let none = Fields::new();
    let mut writer = BodyWriter::new(Framing::Length(5));
    assert_eq!(writer.before_data(3, &mut out), Ok(()));
    assert_eq!(writer.finish(&none, &mut out), Err(BodyError::Truncated));
    assert_eq!(writer.before_data(3, &mut out), Err(BodyError::Overrun));
    assert_eq!(writer.before_data(2, &mut out), Ok(()));
    assert_eq!(writer.finish(&none, &mut out), Ok(()));
    let mut writer = BodyWriter::new(Framing::None);
    assert_eq!(writer.before_data(0, &mut out), Ok(()));
    assert_eq!(writer.before_data(1, &mut out), Err(BodyError::Overrun));
    assert_eq!(writer.finish(&none, &mut out), Ok(()));
    let mut writer = BodyWriter::new(Framing::UntilClose);
    assert_eq!(writer.before_data(1, &mut out), Ok(()));
    writer.after_data(&mut out);
    assert_eq!(writer.finish(&none, &mut out), Ok(()));
    assert!(out.is_empty(), "only chunks have framing around their data");
}
