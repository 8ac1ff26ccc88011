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
