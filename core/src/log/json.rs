//! The inside of a JSON string, appended to bytes.

/// What a byte costs: 0 is copied as it is, anything else needs a look.
const SPECIAL: [bool; 256] = special();

const fn special() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiling, and byte < 256")]
        {
            table[byte] = byte < 0x20 || byte >= 0x7f || byte == b'"' as usize || byte == b'\\' as usize;
        }
        byte += 1;
    }
    table
}

/// Appends text as the inside of a JSON string. Valid UTF-8 stays; a byte that is not part of any becomes
/// `\u00XX`, so that a log line is valid JSON whatever a client sends.
pub(crate) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if !text.iter().any(|byte| SPECIAL.get(usize::from(*byte)).copied().unwrap_or(true)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\0'..='\x1f' | '\x7f' => {
                    #[expect(clippy::cast_possible_truncation, reason = "below 0x80")]
                    unit(out, c as u32 as u8);
                }
                _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            unit(out, *byte);
        }
    }
}

/// `\u00XX`.
fn unit(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    for nibble in [byte >> 4, byte & 0xf] {
        out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    }
}

/// Appends a whole JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_bytes_becomes_a_json_string() {
        let cases: [(&[u8], &str); 7] = [
            (b"/plain?a=b", "\"/plain?a=b\""),
            (b"a\"b\\c", "\"a\\\"b\\\\c\""),
            (b"\r\n\t\0\x1f\x7f", "\"\\r\\n\\t\\u0000\\u001f\\u007f\""),
            ("gr\u{fc}n \u{1f980}".as_bytes(), "\"gr\u{fc}n \u{1f980}\""),
            (b"\xff\xc3", "\"\\u00ff\\u00c3\""),
            (b"a\xe2\x82z", "\"a\\u00e2\\u0082z\""),
            (b"", "\"\""),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
