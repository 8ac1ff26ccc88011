//! Chunk extensions (RFC 9112, 7.1.1): read only to be sure where they end, and then dropped.

use crate::error::BodyError;
use crate::octets::is_token_byte;

/// Where in an extension list the next byte stands. BWS is the white space that the grammar allows and
/// regrets.
///
/// ```text
///  ";" -> Start -> Name -> AfterName -> Value -> Token ------> AfterValue
///           ^       |  \________^  ^      \ \--> Quoted <-> Escaped  ^
///           |_______|______________|_______\________\________________|   (";" again; CR ends the line)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    /// After the semicolon, BWS allowed.
    Start,
    /// Inside a name.
    Name,
    /// BWS after a name: an equals sign or a semicolon must follow.
    AfterName,
    /// After the equals sign, BWS allowed.
    Value,
    /// Inside an unquoted value.
    Token,
    /// Inside a quoted value.
    Quoted,
    /// After the backslash in a quoted value.
    Escaped,
    /// After the closing quote.
    QuoteEnd,
    /// BWS after a value: a semicolon must follow.
    AfterValue,
}

impl Extension {
    /// Takes one byte. `None`: it was the CR that ends the line.
    pub(super) fn take(self, byte: u8) -> Result<Option<Self>, BodyError> {
        let blank = matches!(byte, b' ' | b'\t');
        let token = is_token_byte(byte);
        let next = match (self, byte) {
            (_, b'\n') => return Err(BodyError::LineEnd),
            (Self::Name | Self::Token | Self::QuoteEnd, b'\r') => return Ok(None),
            (Self::Name | Self::AfterName | Self::Token | Self::QuoteEnd | Self::AfterValue, b';') => {
                Self::Start
            }
            (Self::Name | Self::AfterName, b'=') => Self::Value,
            (Self::Quoted, b'"') => Self::QuoteEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Value, b'"') | (Self::Quoted | Self::Escaped, b'\t' | b' '..=b'~' | 0x80..) => {
                Self::Quoted
            }
            (Self::Start | Self::Name, _) if token => Self::Name,
            (Self::Value | Self::Token, _) if token => Self::Token,
            (Self::Start | Self::AfterName | Self::Value | Self::AfterValue, _) if blank => self,
            (Self::Name, _) if blank => Self::AfterName,
            (Self::Token | Self::QuoteEnd, _) if blank => Self::AfterValue,
            _ => return Err(BodyError::ChunkExtension),
        };
        Ok(Some(next))
    }
}
