//! Conditions (RFC 9110, 13) and ranges (RFC 9110, 14): status, fields and bytes for a file that is there.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringway_http::{Known, Method, RequestHead, ResponseHead};

use super::coding::Coding;
use super::media::Media;

/// What is known about the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) len: u64,
    pub(super) modified: SystemTime,
    pub(super) now: SystemTime,
    pub(super) media: Media,
    pub(super) coding: Option<Coding>,
}

/// The last second that an HTTP date can tell.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;
/// An entity tag at its longest, and a `Content-Range`.
const TEXT_BYTES_MAX: usize = 80;

/// Sets status and fields; the bytes to send as (offset, length), if any are.
pub(super) fn plan(request: &RequestHead, file: &Facts, response: &mut ResponseHead) -> Option<(u64, u64)> {
    let mut tag = Text::default();
    tag.write(format_args!("\"{:x}-{:x}", nanos(file.modified), file.len));
    tag.write(format_args!("{}{}\"", if file.coding.is_some() { "-" } else { "" }, token(file.coding)));
    let modified = seconds(file);
    let date = modified.map(|seconds| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)));

    let fields = &mut response.fields;
    let _ = fields.set("ETag", tag.bytes());
    if let Some(date) = &date {
        let _ = fields.set("Last-Modified", date.as_bytes());
    }
    if file.media.is_compressible() {
        let _ = fields.set("Vary", b"Accept-Encoding");
    }
    if let Some(status) = precondition(request, tag.bytes(), modified) {
        response.status = status;
        return None;
    }
    let range = match range(request, file.len, tag.bytes(), date.as_deref()) {
        Range::Whole => None,
        Range::Part(first, last) => Some((first, last)),
        Range::Unsatisfiable => {
            let mut text = Text::default();
            text.write(format_args!("bytes */{}", file.len));
            let _ = response.fields.set("Content-Range", text.bytes());
            response.status = 416;
            return None;
        }
    };
    let fields = &mut response.fields;
    let _ = fields.set("Content-Type", file.media.content_type().as_bytes());
    let _ = fields.set("Accept-Ranges", b"bytes");
    if file.coding.is_some() {
        let _ = fields.set("Content-Encoding", token(file.coding).as_bytes());
    }
    let Some((first, last)) = range else {
        response.status = 200;
        return Some((0, file.len));
    };
    let mut text = Text::default();
    text.write(format_args!("bytes {first}-{last}/{}", file.len));
    let _ = fields.set("Content-Range", text.bytes());
    response.status = 206;
    Some((first, last - first + 1))
}

fn token(coding: Option<Coding>) -> &'static str {
    coding.map_or("", Coding::token)
}

/// Short text without memory of its own.
struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], len: 0 }
    }
}

impl Text {
    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        let mut room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let before = room.len();
        // What does not fit is left out: numbers of 64 and 128 bits do.
        let _ = room.write_fmt(text);
        self.len += before - room.len();
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// When the file was changed, for `Last-Modified`: never later than now (RFC 9110, 8.8.2.1), and only if a date can
/// tell it.
fn seconds(file: &Facts) -> Option<u64> {
    let time = file.modified.min(file.now);
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).filter(|seconds| *seconds <= DATE_SECONDS_MAX)
}

/// The conditions in the order of RFC 9110, 13.2.2: 412, 304, or none that stops the request.
fn precondition(request: &RequestHead, tag: &[u8], modified: Option<u64>) -> Option<u16> {
    let fields = &request.fields;
    let date = |value: &[u8]| {
        let time = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
        Some(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    };
    if fields.value("If-Match").is_some() {
        if !fields.values("If-Match").any(|value| lists(value, tag, Comparison::Strong)) {
            return Some(412);
        }
    } else if let Some(since) = fields.value("If-Unmodified-Since").and_then(date)
        && modified.is_some_and(|modified| modified > since)
    {
        return Some(412);
    }
    if fields.has(Known::IfNoneMatch) {
        let listed = fields.known_all(Known::IfNoneMatch).any(|value| lists(value, tag, Comparison::Weak));
        return listed.then_some(304);
    }
    let since = fields.known(Known::IfModifiedSince).and_then(date)?;
    modified.is_some_and(|modified| modified <= since).then_some(304)
}

/// How entity tags compare (RFC 9110, 8.8.3.2). Ours are strong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags has this one, or is `*`.
fn lists(value: &[u8], tag: &[u8], comparison: Comparison) -> bool {
    let mut rest = value.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let weak = rest.strip_prefix(b"W/");
        let Some(inner) = weak.unwrap_or(rest).strip_prefix(b"\"") else { return false };
        let Some(end) = inner.iter().position(|byte| *byte == b'"') else { return false };
        let (opaque, after) = inner.split_at_checked(end).unwrap_or_default();
        let ours = tag.get(1..tag.len().saturating_sub(1)).unwrap_or_default();
        if opaque == ours && (weak.is_none() || comparison == Comparison::Weak) {
            return true;
        }
        rest = after.get(1..).unwrap_or_default();
    }
}

/// What of the file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    Unsatisfiable,
}

fn range(request: &RequestHead, len: u64, tag: &[u8], date: Option<&str>) -> Range {
    // RFC 9110, 14.2: it means something for GET only.
    let Some(value) = request.fields.known(Known::Range).filter(|_| request.method == Method::Get) else {
        return Range::Whole;
    };
    if let Some(validator) = request.fields.known(Known::IfRange) {
        // RFC 9110, 13.1.5: a tag compares strongly, a date exactly.
        let validator = validator.trim_ascii();
        if validator != tag && date.is_none_or(|date| validator != date.as_bytes()) {
            return Range::Whole;
        }
    }
    std::str::from_utf8(value).map_or(Range::Whole, |value| parse_range(value, len))
}

/// One range; several, and what is none, are answered with the whole (RFC 9110, 14.2 allows both).
fn parse_range(value: &str, len: u64) -> Range {
    let Some((unit, set)) = value.split_once('=') else { return Range::Whole };
    let Some((first, last)) = set.trim().split_once('-') else { return Range::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Range::Whole;
    }
    let (first, last) = (first.trim_end(), last.trim_start());
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Range::Whole,
        (Some(first), _) if first >= len && (last.is_empty() || number(last).is_some()) => {
            Range::Unsatisfiable
        }
        (Some(first), Some(last)) => Range::Part(first, last.min(len - 1)),
        (Some(first), None) if last.is_empty() => Range::Part(first, len - 1),
        (None, Some(suffix)) if first.is_empty() => match suffix.min(len) {
            0 => Range::Unsatisfiable,
            suffix => Range::Part(len - suffix, len - 1),
        },
        (_, _) => Range::Whole,
    }
}

/// A number of digits only; one that is too large is as large as can be.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use ringway_http::h1::HeadReader;
    use ringway_http::{Fields, Limits};

    use super::super::media;
    use super::*;

    const TAG: &str = "\"db5a4e4b6a9b3a00-64\"";

    fn facts() -> Facts {
        let modified = UNIX_EPOCH + Duration::from_nanos(0xdb5_a4e4_b6a9_b3a0 * 16);
        Facts {
            len: 100,
            modified,
            now: modified + Duration::from_secs(60),
            media: media::of("a.png"),
            coding: None,
        }
    }

    fn planned(method: &str, lines: &str, file: &Facts) -> (u16, Option<(u64, u64)>, Fields) {
        let mut request = RequestHead::new();
        let wire = format!("{method} /a.png HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        HeadReader::new().request(wire.as_bytes(), &Limits::default(), &mut request).unwrap().unwrap();
        let mut response = ResponseHead::new();
        let bytes = plan(&request, file, &mut response);
        (response.status, bytes, response.fields)
    }

    fn text(fields: &Fields, name: &str) -> String {
        String::from_utf8_lossy(fields.value(name).unwrap_or(b"-")).into_owned()
    }

    #[test]
    fn a_whole_file_is_described() {
        let (status, bytes, fields) = planned("GET", "", &facts());
        assert_eq!((status, bytes), (200, Some((0, 100))));
        for (name, value) in [
            ("ETag", TAG),
            ("Content-Type", "image/png"),
            ("Accept-Ranges", "bytes"),
            ("Vary", "-"),
            ("Content-Encoding", "-"),
            ("Content-Range", "-"),
        ] {
            assert_eq!(text(&fields, name), value, "{name}");
        }
        let coded = Facts { media: media::of("a.js"), coding: Some(Coding::Brotli), ..facts() };
        let (_, _, fields) = planned("HEAD", "", &coded);
        assert_eq!(text(&fields, "ETag"), TAG.replace("64\"", "64-br\""));
        assert_eq!(
            (text(&fields, "Vary"), text(&fields, "Content-Encoding")),
            ("Accept-Encoding".into(), "br".into())
        );
    }

    #[test]
    fn conditions_are_evaluated_in_their_order() {
        let (_, _, fields) = planned("GET", "", &facts());
        let date = text(&fields, "Last-Modified");
        let earlier = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (lines, status) in [
            (format!("If-None-Match: {TAG}\r\n"), 304),
            (format!("If-None-Match: W/{TAG}\r\n"), 304),
            (format!("If-None-Match: \"a,b\" , {TAG}\r\n"), 304),
            (format!("If-None-Match: \"x\"\r\nIf-None-Match: {TAG}\r\n"), 304),
            ("If-None-Match: *\r\n".to_owned(), 304),
            ("If-None-Match: \"x\"\r\n".to_owned(), 200),
            ("If-None-Match: garbage\r\n".to_owned(), 200),
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"), 200),
            (format!("If-Modified-Since: {date}\r\n"), 304),
            (format!("If-Modified-Since: {earlier}\r\n"), 200),
            ("If-Modified-Since: garbage\r\n".to_owned(), 200),
            (format!("If-Match: {TAG}\r\n"), 200),
            (format!("If-Match: W/{TAG}\r\n"), 412),
            ("If-Match: *\r\n".to_owned(), 200),
            ("If-Match: \"x\"\r\n".to_owned(), 412),
            (format!("If-Match: {TAG}\r\nIf-None-Match: {TAG}\r\n"), 304),
            (format!("If-Unmodified-Since: {earlier}\r\n"), 412),
            (format!("If-Unmodified-Since: {date}\r\n"), 200),
            (format!("If-None-Match: {TAG}\r\nRange: bytes=0-1\r\n"), 304),
        ] {
            let (got, bytes, fields) = planned("GET", &lines, &facts());
            assert_eq!((got, bytes.is_some()), (status, status == 200), "{lines}");
            assert_eq!(text(&fields, "ETag"), TAG, "{lines}");
        }
    }

    #[test]
    fn one_range_is_sent_and_others_are_not() {
        let some = |first, len| Some((first, len));
        for (lines, status, bytes, content_range) in [
            ("Range: bytes=0-9\r\n", 206, some(0, 10), "bytes 0-9/100"),
            ("Range: BYTES = 10 - 19 \r\n", 206, some(10, 10), "bytes 10-19/100"),
            ("Range: bytes=90-\r\n", 206, some(90, 10), "bytes 90-99/100"),
            ("Range: bytes=90-1000\r\n", 206, some(90, 10), "bytes 90-99/100"),
            ("Range: bytes=0-99999999999999999999999\r\n", 206, some(0, 100), "bytes 0-99/100"),
            ("Range: bytes=-5\r\n", 206, some(95, 5), "bytes 95-99/100"),
            ("Range: bytes=-500\r\n", 206, some(0, 100), "bytes 0-99/100"),
            ("Range: bytes=100-\r\n", 416, None, "bytes */100"),
            ("Range: bytes=100-200\r\n", 416, None, "bytes */100"),
            ("Range: bytes=-0\r\n", 416, None, "bytes */100"),
            ("Range: bytes=99999999999999999999999-\r\n", 416, None, "bytes */100"),
            ("Range: bytes=9-0\r\n", 200, some(0, 100), "-"),
            ("Range: bytes=0-1,5-6\r\n", 200, some(0, 100), "-"),
            ("Range: bytes=a-b\r\n", 200, some(0, 100), "-"),
            ("Range: bytes=200-x\r\n", 200, some(0, 100), "-"),
            ("Range: bytes=-\r\n", 200, some(0, 100), "-"),
            ("Range: bytes=--5\r\n", 200, some(0, 100), "-"),
            ("Range: lines=0-9\r\n", 200, some(0, 100), "-"),
            ("Range: bytes\r\n", 200, some(0, 100), "-"),
        ] {
            let (got, sent, fields) = planned("GET", lines, &facts());
            assert_eq!((got, sent), (status, bytes), "{lines}");
            assert_eq!(text(&fields, "Content-Range"), content_range, "{lines}");
        }
        assert_eq!(planned("HEAD", "Range: bytes=0-9\r\n", &facts()).0, 200, "a range is for GET");
        let empty = Facts { len: 0, ..facts() };
        assert_eq!(planned("GET", "Range: bytes=0-\r\n", &empty).0, 416);
        assert_eq!(planned("GET", "Range: bytes=-1\r\n", &empty).0, 416);
        assert_eq!(planned("GET", "", &empty).1, Some((0, 0)));
    }

    #[test]
    fn a_range_holds_only_for_the_file_that_the_client_has() {
        let (_, _, fields) = planned("GET", "", &facts());
        let date = text(&fields, "Last-Modified");
        for (validator, status) in [
            (TAG.to_owned(), 206),
            (format!("W/{TAG}"), 200),
            ("\"x\"".to_owned(), 200),
            (date, 206),
            ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200),
            ("garbage".to_owned(), 200),
        ] {
            let lines = format!("Range: bytes=0-9\r\nIf-Range: {validator}\r\n");
            assert_eq!(planned("GET", &lines, &facts()).0, status, "{validator}");
        }
    }

    #[test]
    fn times_that_no_date_can_tell_leave_the_date_out() {
        let early = UNIX_EPOCH - Duration::from_secs(1);
        let late = UNIX_EPOCH + Duration::from_secs(DATE_SECONDS_MAX + 1);
        for (modified, now) in [(early, late), (late, late)] {
            let (status, _, fields) = planned("GET", "", &Facts { modified, now, ..facts() });
            assert_eq!((status, text(&fields, "Last-Modified")), (200, "-".to_owned()));
        }
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let (_, _, fields) = planned("GET", "", &Facts { modified: late, now, ..facts() });
        assert_eq!(text(&fields, "Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT", "no later than now");
    }
}
