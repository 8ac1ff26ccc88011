//! The fields (header lines) of a message: an arena of bytes as they stand on the wire and spans into it, reused from
//! message to message, so that parsing and editing allocate nothing in the steady state.

use std::ops::Range;

use crate::known::{HOP_BY_HOP, is_control};
use crate::octets::{is_token, is_value, trim};
use crate::prepared::{FieldLine, FieldName};

pub use crate::known::Known;

/// A name that is not a token, or a value with CR, LF, NUL or another control byte (RFC 9110, 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid field name or value")]
pub struct InvalidField;

/// A token, and which known field it names.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) known: Option<Known>,
    /// The name with its separator, where that is at hand.
    pub(crate) prefix: Option<&'a [u8]>,
}

impl<'a> Name<'a> {
    /// Any text. What is not a token names no field.
    fn of(text: &'a str) -> Self {
        Self { text: text.as_bytes(), known: Known::from_name(text), prefix: None }
    }

    pub(crate) fn checked(text: &'a str) -> Result<Self, InvalidField> {
        let name = Self::of(text);
        if name.known.is_some() || is_token(name.text) { Ok(name) } else { Err(InvalidField) }
    }
}

impl From<Known> for Name<'static> {
    fn from(known: Known) -> Self {
        Self { text: known.name().as_bytes(), known: Some(known), prefix: Some(known.prefix().as_bytes()) }
    }
}

/// An ordered list of fields. Names compare without case; order and duplicates are kept.
///
/// Editing appends to the arena and never moves what is there; only [`Fields::clear`] gives the room back.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    /// The lines as they stand on the wire: name, colon, one space, value, CRLF. What `lines` does not point to is
    /// left over.
    bytes: Vec<u8>,
    /// The lines in order.
    lines: Vec<Line>,
    /// The bits of the known fields that `lines` holds, exactly.
    present: u64,
}

/// One field line inside the arena. `start < name_end`, `name_end + 2 <= value_end`, `value_end + 2 <= bytes.len()`.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: u32,
    name_end: u32,
    value_end: u32,
    known: Option<Known>,
    /// Chosen for removal; only true inside [`Fields::remove_hop_by_hop`].
    doomed: bool,
}

/// Between a name and its value.
pub(crate) const SEPARATOR: &[u8; 2] = b": ";
/// After a value.
pub(crate) const LINE_END: &[u8; 2] = b"\r\n";

impl Fields {
    /// An empty list.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), lines: Vec::new(), present: 0 }
    }

    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.present = 0;
    }

    /// Appends a line. White space around the value is not part of it (RFC 9110, 5.5).
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        self.push_checked(Name::checked(name)?, value)
    }

    /// Appends a line of a known field.
    pub fn push_known(&mut self, name: Known, value: &[u8]) -> Result<(), InvalidField> {
        self.push_checked(name.into(), value)
    }

    /// Appends a line of a name that was checked before.
    pub fn push_name(&mut self, name: FieldName<'_>, value: &[u8]) -> Result<(), InvalidField> {
        self.push_checked(name.0, value)
    }

    /// Appends a line that was prepared. Refused only when there would be too many bytes.
    pub fn push_line(&mut self, line: FieldLine<'_>) -> Result<(), InvalidField> {
        let start = self.bytes.len();
        let end = (start + line.text.len()).saturating_sub(LINE_END.len());
        let line_at = Line::new(start, start + line.name.text.len(), end, line.name.known)?;
        self.bytes.extend_from_slice(line.text);
        self.add(line_at);
        Ok(())
    }

    /// Removes every line of that name, then appends one. An invalid name or value changes nothing.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        self.set_checked(Name::checked(name)?, value)
    }

    /// The same for a known field.
    pub fn set_known(&mut self, name: Known, value: &[u8]) -> Result<(), InvalidField> {
        self.set_checked(name.into(), value)
    }

    /// The same for a name that was checked before.
    pub fn set_name(&mut self, name: FieldName<'_>, value: &[u8]) -> Result<(), InvalidField> {
        self.set_checked(name.0, value)
    }

    /// Removes every line of its name, then appends a line that was prepared.
    pub fn set_line(&mut self, line: FieldLine<'_>) -> Result<(), InvalidField> {
        self.remove_lines(line.name);
        self.push_line(line)
    }

    /// Removes every line of that name; how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        self.remove_lines(Name::of(name))
    }

    /// Removes a known field; how many lines there were.
    pub fn remove_known(&mut self, name: Known) -> usize {
        self.remove_lines(name.into())
    }

    /// Removes every line of some known fields.
    pub fn remove_each(&mut self, names: &[Known]) {
        let bits = names.iter().fold(0, |bits, name| bits | name.bit());
        if self.present & bits != 0 {
            self.lines.retain(|line| line.known.is_none_or(|known| known.bit() & bits == 0));
            self.present &= !bits;
        }
    }

    /// Removes every line of a name that was checked before; how many there were.
    pub fn remove_name(&mut self, name: FieldName<'_>) -> usize {
        self.remove_lines(name.0)
    }

    /// Removes what belongs to one connection only: the fields that `Connection` names, and
    /// `Connection`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding`,
    /// `Upgrade` (RFC 9110, 7.6.1). `Content-Length` stays, and a `Connection` that names it, or `Host`, or
    /// another field that must not be dropped, does not remove it.
    pub fn remove_hop_by_hop(&mut self) {
        if self.present & HOP_BY_HOP == 0 {
            return;
        }
        let Self { bytes, lines, present } = self;
        for index in 0..lines.len() {
            let Some(line) = lines.get(index).copied().filter(|line| line.known == Some(Known::Connection))
            else {
                continue;
            };
            // Every known field is either removed below, or one that recipients need: naming it is an attempt to
            // strip it.
            for option in elements(line.value(bytes)).filter(|option| {
                !option.eq_ignore_ascii_case(b"close")
                    && Known::from_bytes(option).is_none()
                    && !is_control(option)
            }) {
                for line in lines.iter_mut().filter(|line| line.known.is_none()) {
                    line.doomed |= line.name(bytes).eq_ignore_ascii_case(option);
                }
            }
        }
        lines.retain(|line| !line.doomed && line.known.is_none_or(|known| known.bit() & HOP_BY_HOP == 0));
        *present &= !HOP_BY_HOP;
    }

    /// Appends the lines of a block, all ending in CRLF, that was tokenised: its names are tokens, and its values are
    /// trimmed and valid. The block is copied once; only a line that is spaced in another way is written anew.
    ///
    /// Errs when a line does not end in CRLF, or when the lines do not fill the block: what is there then is not the
    /// block.
    pub(crate) fn push_block<'a>(
        &mut self,
        block: &[u8],
        lines: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), InvalidField> {
        let base = self.bytes.len();
        offset(base + block.len())?;
        self.bytes.extend_from_slice(block);
        let mut start = 0;
        for (name, value) in lines {
            let name_end = start + name.len();
            let value_end = name_end + SEPARATOR.len() + value.len();
            let known = Known::from_name(name);
            let tail = block.get(name_end..).unwrap_or_default();
            let ends = block.get(value_end..).is_some_and(|rest| rest.starts_with(LINE_END));
            if ends && tail.starts_with(SEPARATOR) {
                self.add(Line::new(base + start, base + name_end, base + value_end, known)?);
                start = value_end + LINE_END.len();
            } else {
                self.append(Name { text: name.as_bytes(), known, prefix: None }, value)?;
                let end = memchr::memchr(b'\n', tail).ok_or(InvalidField)?;
                if !tail.get(..=end).is_some_and(|line| line.ends_with(LINE_END)) {
                    return Err(InvalidField);
                }
                start = name_end + end + 1;
            }
        }
        if start == block.len() { Ok(()) } else { Err(InvalidField) }
    }

    fn push_checked(&mut self, name: Name<'_>, value: &[u8]) -> Result<(), InvalidField> {
        if is_value(value) { self.append(name, trim(value)) } else { Err(InvalidField) }
    }

    fn set_checked(&mut self, name: Name<'_>, value: &[u8]) -> Result<(), InvalidField> {
        if !is_value(value) {
            return Err(InvalidField);
        }
        self.remove_lines(name);
        self.append(name, trim(value))
    }

    fn remove_lines(&mut self, name: Name<'_>) -> usize {
        let before = self.lines.len();
        if let Some(known) = name.known {
            if self.has(known) {
                self.lines.retain(|line| line.known != Some(known));
                self.present &= !known.bit();
            }
        } else {
            let bytes = &self.bytes;
            let is_named =
                |line: &Line| line.known.is_none() && line.name(bytes).eq_ignore_ascii_case(name.text);
            // Mostly there is none, and then nothing has to move.
            if self.lines.iter().any(is_named) {
                self.lines.retain(|line| !is_named(line));
            }
        }
        before - self.lines.len()
    }

    /// Writes a line that is valid at the end of the arena.
    fn append(&mut self, name: Name<'_>, value: &[u8]) -> Result<(), InvalidField> {
        let start = self.bytes.len();
        let name_end = start + name.text.len();
        let value_end = name_end + SEPARATOR.len() + value.len();
        let line = Line::new(start, name_end, value_end, name.known)?;
        if let Some(prefix) = name.prefix {
            self.bytes.extend_from_slice(prefix);
        } else {
            self.bytes.extend_from_slice(name.text);
            self.bytes.extend_from_slice(SEPARATOR);
        }
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(LINE_END);
        self.add(line);
        Ok(())
    }

    fn add(&mut self, line: Line) {
        self.present |= line.known.map_or(0, Known::bit);
        self.lines.push(line);
    }

    /// Leaves only what may stand in trailers: nothing that frames, routes, authenticates or controls (RFC
    /// 9110, 6.5.1).
    pub(crate) fn keep_trailers(&mut self) {
        let bytes = &self.bytes;
        self.lines.retain(|line| line.known.is_none() && !is_control(line.name(bytes)));
        self.present = 0;
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All lines in order, as (name, value); names as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|line| {
            let name = std::str::from_utf8(line.name(&self.bytes));
            // A token is ASCII.
            (name.unwrap_or_default(), line.value(&self.bytes))
        })
    }

    /// Appends the lines in order as they stand on the wire, without those whose known name is in `skip`, a set of
    /// [`Known::bit`]s.
    pub(crate) fn write_without(&self, skip: u64, out: &mut Vec<u8>) {
        if self.lines.is_empty() {
            return;
        }
        // Lines that lie side by side are copied as one.
        let mut run = 0..0;
        for line in self.lines.iter().filter(|line| line.known.is_none_or(|known| known.bit() & skip == 0)) {
            let start = line.start as usize;
            if start != run.end {
                out.extend_from_slice(self.bytes.get(run).unwrap_or_default());
                run = start..start;
            }
            run.end = line.value_end as usize + LINE_END.len();
        }
        out.extend_from_slice(self.bytes.get(run).unwrap_or_default());
    }

    /// The lines in order without those whose known name is in `skip`.
    pub(crate) fn iter_without(&self, skip: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .filter(move |line| line.known.is_none_or(|known| known.bit() & skip == 0))
            .map(|line| (line.name(&self.bytes), line.value(&self.bytes)))
    }

    /// The bytes that [`Fields::spans_without`] points into.
    pub(crate) fn arena(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines in order without those whose known name is in `skip`: names, which known ones they are, and where in
    /// the arena the values are.
    pub(crate) fn spans_without(
        &self,
        skip: u64,
    ) -> impl Iterator<Item = (&[u8], Option<Known>, Range<usize>)> {
        self.lines.iter().filter(move |line| line.known.is_none_or(|known| known.bit() & skip == 0)).map(
            |line| {
                let value = line.name_end as usize + SEPARATOR.len()..line.value_end as usize;
                (line.name(&self.bytes), line.known, value)
            },
        )
    }

    /// Bytes that the lines take on the wire, or somewhat more.
    pub(crate) fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that are held, used or not.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    /// What the arena and the lines could hold, to see that it does not grow.
    #[cfg(test)]
    pub(crate) fn capacities(&self) -> (usize, usize) {
        (self.bytes.capacity(), self.lines.capacity())
    }

    /// Whether a field of that name is present.
    pub fn has(&self, name: Known) -> bool {
        self.present & name.bit() != 0
    }

    /// The first value of a known field.
    pub fn known(&self, name: Known) -> Option<&[u8]> {
        self.known_all(name).next()
    }

    /// All values of a known field, in order.
    pub fn known_all(&self, name: Known) -> impl Iterator<Item = &[u8]> {
        self.candidates(Some(name))
            .iter()
            .filter(move |line| line.known == Some(name))
            .map(|line| line.value(&self.bytes))
    }

    /// The first value of any field.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let known = Known::from_name(name);
        let line = self.candidates(known).iter().find(|line| self.is_named(line, known, name))?;
        Some(line.value(&self.bytes))
    }

    /// All values of any field, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = Known::from_name(name);
        self.candidates(known)
            .iter()
            .filter(move |line| self.is_named(line, known, name))
            .map(|line| line.value(&self.bytes))
    }

    /// The lines to search: none if it is known that there is nothing to find.
    fn candidates(&self, known: Option<Known>) -> &[Line] {
        if known.is_some_and(|known| !self.has(known)) { &[] } else { &self.lines }
    }

    fn is_named(&self, line: &Line, known: Option<Known>, name: &str) -> bool {
        line.known == known
            && (known.is_some() || line.name(&self.bytes).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether a list-valued field holds the token (without case), such as `close` in `Connection`.
    pub fn has_token(&self, name: Known, token: &str) -> bool {
        self.known_all(name)
            .any(|value| elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes())))
    }
}

impl Line {
    fn new(
        start: usize,
        name_end: usize,
        value_end: usize,
        known: Option<Known>,
    ) -> Result<Self, InvalidField> {
        let (Ok(start), Ok(name_end), Ok(value_end)) =
            (u32::try_from(start), u32::try_from(name_end), u32::try_from(value_end))
        else {
            return Err(InvalidField);
        };
        Ok(Self { start, name_end, value_end, known, doomed: false })
    }

    fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start as usize..self.name_end as usize).unwrap_or_default()
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.name_end as usize + SEPARATOR.len()..self.value_end as usize).unwrap_or_default()
    }
}

/// The elements of a comma-separated list, without the white space around them. An empty element is given
/// too.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

fn offset(value: usize) -> Result<u32, InvalidField> {
    u32::try_from(value).map_err(|_| InvalidField)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepared::Prepared;

    fn of(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(name, value.as_bytes()).unwrap();
        }
        fields
    }

    fn lines(fields: &Fields) -> Vec<(String, String)> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        fields.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }

    fn owned(lines: &[(&str, &str)]) -> Vec<(String, String)> {
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn order_spelling_and_duplicates_are_kept() {
        let rows = [("X-a", "1"), ("hOST", "b"), ("x-A", "2"), ("Host", "")];
        let fields = of(&rows);
        assert_eq!(lines(&fields), owned(&rows));
        assert_eq!((fields.len(), fields.is_empty()), (4, false));
        assert_eq!(fields.value("X-A"), Some(&b"1"[..]));
        assert_eq!(fields.values("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(fields.known(Known::Host), Some(&b"b"[..]));
        assert_eq!(fields.known_all(Known::Host).collect::<Vec<_>>(), [&b"b"[..], b""]);
        assert_eq!(fields.values("HOST").count(), 2);
        assert_eq!((fields.value("y"), fields.known(Known::Date), fields.value("date")), (None, None, None));
    }

    #[test]
    fn editing_keeps_the_rest() {
        let mut fields = of(&[("A", "1"), ("Host", "h"), ("a", "2"), ("B", "3")]);
        assert_eq!(fields.remove("a"), 2);
        assert_eq!(fields.remove("a"), 0);
        assert_eq!(fields.remove("HOST"), 1);
        assert!(!fields.has(Known::Host));
        assert_eq!(fields.remove_known(Known::Host), 0);
        fields.push("C", b" \tv\t ").unwrap();
        fields.set("b", b"4").unwrap();
        fields.set("Host", b"i").unwrap();
        assert!(fields.has(Known::Host));
        assert_eq!(lines(&fields), owned(&[("C", "v"), ("b", "4"), ("Host", "i")]));
        fields.push("C", b"again").unwrap();
        fields.push_known(Known::Date, b"d").unwrap();
        fields.remove_each(&[Known::Te, Known::Host, Known::Date]);
        assert_eq!(lines(&fields), owned(&[("C", "v"), ("b", "4"), ("C", "again")]));
        assert!(!fields.has(Known::Host) && !fields.has(Known::Date));
        fields.clear();
        assert!(fields.is_empty() && !fields.has(Known::Host));
    }

    #[test]
    fn invalid_names_and_values_change_nothing() {
        let mut fields = of(&[("A", "1")]);
        let names = ["", "a b", "a:", "a\r", "é", "a(", " a", "\0"];
        let values: [&[u8]; 6] = [b"\r", b"a\nb", b"\0", b"a\x7f", b"\x1f", b"a\r\nX: b"];
        for name in names {
            assert_eq!(fields.push(name, b"v"), Err(InvalidField), "{name:?}");
            assert_eq!(fields.set(name, b"v"), Err(InvalidField), "{name:?}");
        }
        for value in values {
            assert_eq!(fields.push("A", value), Err(InvalidField), "{value:?}");
            assert_eq!(fields.set("A", value), Err(InvalidField), "{value:?}");
        }
        assert_eq!(lines(&fields), owned(&[("A", "1")]));
        assert_eq!(fields.push("B", b"\xff \t!"), Ok(()));
    }

    #[test]
    fn values_hold_no_control_byte_at_any_place() {
        for len in 0..40 {
            assert!(is_value(&vec![b'a'; len]));
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut value = vec![b'~'; len];
                    value[at] = byte;
                    let expected = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
                    assert_eq!(is_value(&value), expected, "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_what_is_there() {
        let mut fields = Fields::new();
        let block = b"Host: a\r\nX-A:1\r\nX-B:  2 \t\r\nDate: \r\nX-C:\r\nX-D: 4\r\n";
        let lines: [(&str, &[u8]); 6] =
            [("Host", b"a"), ("X-A", b"1"), ("X-B", b"2"), ("Date", b""), ("X-C", b""), ("X-D", b"4")];
        fields.push_block(block, lines.into_iter()).unwrap();
        assert!(fields.iter().eq(lines));
        let written = |fields: &Fields, skip| {
            let mut out = Vec::new();
            fields.write_without(skip, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&fields, 0), "Host: a\r\nX-A: 1\r\nX-B: 2\r\nDate: \r\nX-C: \r\nX-D: 4\r\n");
        assert_eq!(written(&fields, Known::Date.bit()), "Host: a\r\nX-A: 1\r\nX-B: 2\r\nX-C: \r\nX-D: 4\r\n");
        fields.set("x-b", b"3").unwrap();
        fields.set_known(Known::Host, b"b").unwrap();
        let mut names = Prepared::default();
        let (e, d) = (names.add_name("X-E").unwrap(), names.add_name("x-d").unwrap());
        fields.push_name(names.name(e), b"5").unwrap();
        assert_eq!(fields.remove_name(names.name(d)), 1);
        assert_eq!(written(&fields, 0), "X-A: 1\r\nDate: \r\nX-C: \r\nx-b: 3\r\nHost: b\r\nX-E: 5\r\n");
        assert_eq!(written(&Fields::new(), 0), "");
    }

    #[test]
    fn tokens_are_found_in_lists_without_case() {
        let fields =
            of(&[("Connection", "keep-alive ,\tClose"), ("Connection", "upgrade"), ("Date", "close")]);
        for (token, expected) in
            [("close", true), ("KEEP-ALIVE", true), ("Upgrade", true), ("keep", false), ("", false)]
        {
            assert_eq!(fields.has_token(Known::Connection, token), expected, "{token:?}");
        }
        assert!(!fields.has_token(Known::Upgrade, "close"));
    }

    #[test]
    fn what_belongs_to_one_connection_is_removed() {
        let mut fields = of(&[
            ("Connection", "close, x-one , X-Two, , bad name"),
            ("X-One", "1"),
            ("connection", "x-three"),
            ("x-two", "2"),
            ("X-Three", "3"),
            ("x-one", "again"),
            ("Keep-Alive", "5"),
            ("Proxy-Connection", "close"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
            ("X-Four", "4"),
        ]);
        fields.remove_hop_by_hop();
        assert_eq!(lines(&fields), owned(&[("X-Four", "4")]));
        for hop in ["Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"] {
            assert_eq!(fields.value(hop), None, "{hop}");
        }
    }

    #[test]
    fn connection_cannot_strip_what_recipients_need() {
        let kept = [
            ("Host", "a"),
            ("Content-Length", "5"),
            ("Authorization", "b"),
            ("Cookie", "c"),
            ("X-Forwarded-For", "d"),
            ("X-Request-ID", "e"),
            ("Content-Type", "f"),
            ("Via", "g"),
            ("Cache-Control", "h"),
            ("Set-Cookie", "i"),
            ("Range", "j"),
        ];
        let mut fields = of(&kept);
        for (name, _) in kept {
            fields.push("Connection", name.as_bytes()).unwrap();
        }
        fields.remove_hop_by_hop();
        assert_eq!(lines(&fields), owned(&kept));
    }

    #[test]
    fn editing_again_after_clear_takes_no_new_memory() {
        let mut fields = Fields::new();
        let mut round = || {
            fields.clear();
            for name in ["Host", "X-A", "Connection", "Accept"] {
                fields.push(name, b"x-a, close").unwrap();
            }
            fields.remove_hop_by_hop();
            fields.set("Host", b"other").unwrap();
            fields.push("X-Forwarded-For", b"127.0.0.1").unwrap();
            fields.capacities()
        };
        let warm = round();
        for _ in 0..1000 {
            assert_eq!(round(), warm);
        }
    }
}
