//! Field names and whole lines that are written again and again: checked once, in the form in which they are copied to
//! the wire, and side by side, so that using a few of them touches few cache lines however many sets of them there are.

use std::fmt;

use crate::fields::{InvalidField, LINE_END, Name, SEPARATOR};
use crate::known::Known;
use crate::octets::{is_value, trim};

/// A set of names and lines. What it hands out means something only together with it.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// `Name: ` for each name, `Name: value` and CRLF for each line.
    text: Vec<u8>,
}

/// Where a name stands in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAt {
    start: u32,
    /// `start < end`, and the separator follows.
    end: u32,
    known: Option<Known>,
}

/// Where a line stands in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineAt {
    name: NameAt,
    /// After the line's end.
    end: u32,
}

/// A name that is known to be a token.
#[derive(Clone, Copy)]
pub struct FieldName<'a>(pub(crate) Name<'a>);

/// A line whose name is known to be a token, and whose value to be valid.
#[derive(Clone, Copy)]
pub struct FieldLine<'a> {
    pub(crate) name: Name<'a>,
    /// As it stands on the wire, with its end.
    pub(crate) text: &'a [u8],
}

impl Prepared {
    /// Adds a name. Refused when it is not a token.
    pub fn add_name(&mut self, name: &str) -> Result<NameAt, InvalidField> {
        let known = Name::checked(name)?.known;
        let start = self.end()?;
        self.text.extend_from_slice(name.as_bytes());
        let end = self.end()?;
        self.text.extend_from_slice(SEPARATOR);
        Ok(NameAt { start, end, known })
    }

    /// Adds a line. Refused when its name is not a token or its value not valid; white space around the value is not
    /// part of it.
    pub fn add_line(&mut self, name: &str, value: &[u8]) -> Result<LineAt, InvalidField> {
        if !is_value(value) {
            return Err(InvalidField);
        }
        let name = self.add_name(name)?;
        self.text.extend_from_slice(trim(value));
        self.text.extend_from_slice(LINE_END);
        Ok(LineAt { name, end: self.end()? })
    }

    /// Gives back the memory that further ones would take.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
    }

    /// A name of this set.
    pub fn name(&self, at: NameAt) -> FieldName<'_> {
        let (start, end) = (at.start as usize, at.end as usize);
        FieldName(Name {
            text: self.text.get(start..end).unwrap_or_default(),
            known: at.known,
            prefix: self.text.get(start..end + SEPARATOR.len()),
        })
    }

    /// A line of this set.
    pub fn line(&self, at: LineAt) -> FieldLine<'_> {
        let text = self.text.get(at.name.start as usize..at.end as usize);
        FieldLine { name: self.name(at.name).0, text: text.unwrap_or_default() }
    }

    fn end(&self) -> Result<u32, InvalidField> {
        u32::try_from(self.text.len()).map_err(|_| InvalidField)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the text that it is, not as numbers.
        f.debug_tuple("Prepared").field(&String::from_utf8_lossy(&self.text)).finish()
    }
}

impl FieldName<'_> {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        // A token is ASCII.
        std::str::from_utf8(self.0.text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;

    fn lines(fields: &Fields) -> Vec<(String, String)> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        fields.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }

    #[test]
    fn what_is_prepared_is_what_is_written() {
        let mut set = Prepared::default();
        let (name, known) = (set.add_name("X-A").unwrap(), set.add_name("server").unwrap());
        let line = set.add_line("X-B", b" 1 ").unwrap();
        let known_line = set.add_line("Date", b"").unwrap();
        set.shrink();
        let mut fields = Fields::new();
        for (name, value) in [("x-b", "old"), ("x-a", "old"), ("Server", "old"), ("x-b", "older"), ("C", "c")]
        {
            fields.push(name, value.as_bytes()).unwrap();
        }
        fields.set_line(set.line(line)).unwrap();
        fields.push_line(set.line(known_line)).unwrap();
        fields.push_line(set.line(line)).unwrap();
        fields.set_name(set.name(known), b" new ").unwrap();
        assert_eq!(fields.remove_name(set.name(name)), 1);
        let expected = [("C", "c"), ("X-B", "1"), ("Date", ""), ("X-B", "1"), ("server", "new")];
        assert_eq!(lines(&fields), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(fields.has(Known::Date) && fields.has(Known::Server));
        assert_eq!(set.name(known).as_str(), "server");
        let mut wire = Vec::new();
        fields.write_without(0, &mut wire);
        assert_eq!(wire, b"C: c\r\nX-B: 1\r\nDate: \r\nX-B: 1\r\nserver: new\r\n");
    }

    #[test]
    fn what_would_break_a_message_is_refused_and_leaves_nothing_that_counts() {
        let mut set = Prepared::default();
        for (name, value) in [("", "1"), ("a b", "1"), ("a:", "1"), ("a", "1\r\nb: 2"), ("a", "\0")] {
            assert_eq!(set.add_line(name, value.as_bytes()), Err(InvalidField), "{name} {value}");
        }
        assert_eq!(set.add_name("a\n"), Err(InvalidField));
        assert_eq!(set, Prepared::default());
    }
}
