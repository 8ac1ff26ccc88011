//! Which bytes may stand where in a field: tokens, values, and the white space around them.

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
    let one_by_one = || bytes.iter().all(|byte| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t');
    let (words, _) = bytes.as_chunks::<8>();
    match bytes.last_chunk::<8>() {
        Some(last) => words.iter().chain([last]).all(|word| !has_control(*word)) || one_by_one(),
        None => one_by_one(),
    }
}

/// Whether one of eight bytes is a control byte, tab included.
fn has_control(word: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(word);
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word & (EACH * 0x80);
    below(word, 0x20) | below(word ^ (EACH * 0x7f), 1) != 0
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
