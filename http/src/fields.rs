//! The fields (header lines) of a message: arenas of bytes and spans into them, reused from message
//! to message, so that parsing and editing allocate nothing in the steady state.

use crate::known::{HOP_BY_HOP, is_control};

pub use crate::known::Known;

/// A name that is not a token, or a value with CR, LF, NUL or another control byte (RFC 9110, 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid field name or value")]
pub struct InvalidField;

/// An ordered list of fields. Names compare without case; order and duplicates are kept.
///
/// Editing appends to the arenas and never moves what is there; only [`Fields::clear`] gives the room back.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    /// The names one after another. Apart from the values so that a name is a `&str` without a check on each
    /// look.
    names: String,
    /// The values one after another.
    values: Vec<u8>,
    /// The lines in order.
    lines: Vec<Line>,
    /// The bits of the known fields that `lines` holds, exactly.
    present: u64,
}

/// One field line. Spans lie inside the arenas.
#[derive(Debug, Clone, Copy)]
struct Line {
    name_start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    known: Option<Known>,
    /// Chosen for removal; only true inside [`Fields::remove_hop_by_hop`].
    doomed: bool,
}

impl Fields {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.names.clear();
        self.values.clear();
        self.lines.clear();
        self.present = 0;
    }

    /// Appends a line. White space around the value is not part of it (RFC 9110, 5.5).
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        if !is_token(name.as_bytes()) || !is_value(value) {
            return Err(InvalidField);
        }
        self.push_checked(name, trim(value))
    }

    /// Removes every line of that name, then appends one. An invalid name or value changes nothing.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        if !is_token(name.as_bytes()) || !is_value(value) {
            return Err(InvalidField);
        }
        self.remove(name);
        self.push_checked(name, trim(value))
    }

    /// Removes every line of that name; how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        if let Some(known) = Known::from_name(name) {
            return self.remove_known(known);
        }
        let before = self.lines.len();
        let names = &self.names;
        self.lines.retain(|line| line.known.is_some() || !line.name(names).eq_ignore_ascii_case(name));
        before - self.lines.len()
    }

    /// Removes a known field; how many lines there were.
    pub fn remove_known(&mut self, name: Known) -> usize {
        if !self.has(name) {
            return 0;
        }
        let before = self.lines.len();
        self.lines.retain(|line| line.known != Some(name));
        self.present &= !name.bit();
        before - self.lines.len()
    }

    /// Removes what belongs to one connection only: the fields that `Connection` names, and
    /// `Connection`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding`,
    /// `Upgrade` (RFC 9110, 7.6.1). `Content-Length` stays, and a `Connection` that names it, or `Host`, or
    /// another field that must not be dropped, does not remove it.
    pub fn remove_hop_by_hop(&mut self) {
        if self.present & HOP_BY_HOP == 0 {
            return;
        }
        let Self { names, values, lines, present } = self;
        for index in 0..lines.len() {
            let Some(line) = lines.get(index).copied().filter(|line| line.known == Some(Known::Connection))
            else {
                continue;
            };
            for option in elements(line.value(values)) {
                // Every known field is either removed below, or one that recipients need: naming it is an
                // attempt to strip it.
                let Some(option) = std::str::from_utf8(option).ok().filter(|option| {
                    !option.eq_ignore_ascii_case("close")
                        && Known::from_name(option).is_none()
                        && !is_control(option)
                }) else {
                    continue;
                };
                for line in lines.iter_mut().filter(|line| line.known.is_none()) {
                    line.doomed |= line.name(names).eq_ignore_ascii_case(option);
                }
            }
        }
        lines.retain(|line| !line.doomed && line.known.is_none_or(|known| known.bit() & HOP_BY_HOP == 0));
        *present &= !HOP_BY_HOP;
    }

    /// Appends a line that is known to be valid: it was tokenised, or checked by the caller.
    pub(crate) fn push_checked(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        let name_start = offset(self.names.len())?;
        let name_end = offset(self.names.len() + name.len())?;
        let value_start = offset(self.values.len())?;
        let value_end = offset(self.values.len() + value.len())?;
        self.names.push_str(name);
        self.values.extend_from_slice(value);
        let known = Known::from_name(name);
        self.present |= known.map_or(0, Known::bit);
        self.lines.push(Line { name_start, name_end, value_start, value_end, known, doomed: false });
        Ok(())
    }

    /// Leaves only what may stand in trailers: nothing that frames, routes, authenticates or controls (RFC
    /// 9110, 6.5.1).
    pub(crate) fn keep_trailers(&mut self) {
        let names = &self.names;
        self.lines.retain(|line| line.known.is_none() && !is_control(line.name(names)));
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
        self.lines.iter().map(|line| (line.name(&self.names), line.value(&self.values)))
    }

    /// The lines in order without those whose known name is in `skip`, a set of [`Known::bit`]s.
    pub(crate) fn iter_without(&self, skip: u64) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines
            .iter()
            .filter(move |line| line.known.is_none_or(|known| known.bit() & skip == 0))
            .map(|line| (line.name(&self.names), line.value(&self.values)))
    }

    /// Bytes that the lines take on the wire, or somewhat more.
    pub(crate) fn wire_bytes(&self) -> usize {
        self.names.len() + self.values.len() + 4 * self.lines.len()
    }

    /// Bytes of memory that are held, used or not.
    pub fn memory_bytes(&self) -> usize {
        self.names.capacity() + self.values.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    /// What the arenas and the lines could hold, to see that it does not grow.
    #[cfg(test)]
    pub(crate) fn capacities(&self) -> (usize, usize, usize) {
        (self.names.capacity(), self.values.capacity(), self.lines.capacity())
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
            .map(|line| line.value(&self.values))
    }

    /// The first value of any field.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let known = Known::from_name(name);
        let line = self.candidates(known).iter().find(|line| self.is_named(line, known, name))?;
        Some(line.value(&self.values))
    }

    /// All values of any field, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = Known::from_name(name);
        self.candidates(known)
            .iter()
            .filter(move |line| self.is_named(line, known, name))
            .map(|line| line.value(&self.values))
    }

    /// The lines to search: none if it is known that there is nothing to find.
    fn candidates(&self, known: Option<Known>) -> &[Line] {
        if known.is_some_and(|known| !self.has(known)) { &[] } else { &self.lines }
    }

    fn is_named(&self, line: &Line, known: Option<Known>, name: &str) -> bool {
        line.known == known && (known.is_some() || line.name(&self.names).eq_ignore_ascii_case(name))
    }

    /// Whether a list-valued field holds the token (without case), such as `close` in `Connection`.
    pub fn has_token(&self, name: Known, token: &str) -> bool {
        self.known_all(name)
            .any(|value| elements(value).any(|element| element.eq_ignore_ascii_case(token.as_bytes())))
    }
}

impl Line {
    fn name<'a>(&self, names: &'a str) -> &'a str {
        names.get(self.name_start as usize..self.name_end as usize).unwrap_or_default()
    }

    fn value<'a>(&self, values: &'a [u8]) -> &'a [u8] {
        values.get(self.value_start as usize..self.value_end as usize).unwrap_or_default()
    }
}

/// The elements of a comma-separated list, without the white space around them. An empty element is given
/// too.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Whether these bytes are a token (RFC 9110, 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a byte may stand in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Whether these bytes may stand in a field value: anything but control bytes, with tab allowed (RFC 9110,
/// 5.5).
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t')
}

/// Without spaces and tabs at either end. Other white space is not optional white space.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn offset(value: usize) -> Result<u32, InvalidField> {
    u32::try_from(value).map_err(|_| InvalidField)
}

/// The bytes of a token.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        let token = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256, and this runs in the compiler")]
        {
            table[byte as usize] = token;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

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
