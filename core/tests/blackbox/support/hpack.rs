//! Header blocks by hand (RFC 7541): written as literals that nobody remembers, so that they may hold anything; read
//! with both tables and with Huffman's codes, as any peer may send them.

use std::collections::VecDeque;

/// A list of fields, pseudo-headers included, in the order of the wire.
pub(crate) type Fields = Vec<(String, String)>;

/// Reads the header blocks of one connection.
#[derive(Default)]
pub(crate) struct Decoder {
    /// The newest first.
    dynamic: VecDeque<(String, String)>,
}

/// What a table may hold without an agreement.
const TABLE_BYTES_MAX: usize = 4096;

/// A block of literals.
pub(crate) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            length(text.len(), &mut out);
            out.extend_from_slice(text);
        }
    }
    out
}

/// A length of 7 bits and what does not fit them.
fn length(value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        return out.push(u8::try_from(value).unwrap());
    }
    out.push(127);
    let mut left = value - 127;
    while left >= 128 {
        out.push(u8::try_from(left % 128).unwrap() | 0x80);
        left /= 128;
    }
    out.push(u8::try_from(left).unwrap());
}

impl Decoder {
    /// The fields of a whole block.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Fields {
        let mut fields = Vec::new();
        while let Some(&first) = bytes.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut bytes, 7);
                fields.push(self.entry(index));
            } else if first & 0xe0 == 0x20 {
                let most = integer(&mut bytes, 5);
                self.shrink(most);
            } else {
                let is_kept = first & 0x40 != 0;
                let index = integer(&mut bytes, if is_kept { 6 } else { 4 });
                let name = if index == 0 { text(&mut bytes) } else { self.entry(index).0 };
                let field = (name, text(&mut bytes));
                if is_kept {
                    self.dynamic.push_front(field.clone());
                    self.shrink(TABLE_BYTES_MAX);
                }
                fields.push(field);
            }
        }
        fields
    }

    fn entry(&self, index: usize) -> (String, String) {
        assert!(index > 0, "index 0");
        match STATIC.get(index - 1) {
            Some(&(name, value)) => (name.to_owned(), value.to_owned()),
            None => self.dynamic[index - 1 - STATIC.len()].clone(),
        }
    }

    fn shrink(&mut self, most: usize) {
        let size = |table: &VecDeque<(String, String)>| -> usize {
            table.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        };
        while size(&self.dynamic) > most {
            self.dynamic.pop_back();
        }
    }
}

fn integer(bytes: &mut &[u8], bits: u32) -> usize {
    let mask = (1 << bits) - 1;
    let mut value = usize::from(bytes[0]) & mask;
    *bytes = &bytes[1..];
    let mut shift = 0;
    while value >= mask {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value += usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn text(bytes: &mut &[u8]) -> String {
    let is_huffman = bytes[0] & 0x80 != 0;
    let len = integer(bytes, 7);
    let (raw, rest) = bytes.split_at(len);
    *bytes = rest;
    let octets = if is_huffman { unpack(raw) } else { raw.to_vec() };
    String::from_utf8_lossy(&octets).into_owned()
}

/// Huffman's code of RFC 7541 is canonical: the lengths of its codes say what they are.
fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut order: Vec<u8> = (0..=255).collect();
    order.sort_by_key(|&symbol| LENGTHS[usize::from(symbol)]);
    let (mut codes, mut code, mut bits) = (std::collections::HashMap::new(), 0u32, 5);
    for symbol in order {
        let length = u32::from(LENGTHS[usize::from(symbol)]);
        code <<= length - bits;
        bits = length;
        codes.insert((bits, code), symbol);
        code += 1;
    }
    let (mut out, mut code, mut bits) = (Vec::new(), 0u32, 0);
    for bit in packed.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        (code, bits) = (code << 1 | u32::from(bit), bits + 1);
        if let Some(&symbol) = codes.get(&(bits, code)) {
            out.push(symbol);
            (code, bits) = (0, 0);
        }
    }
    assert!(bits < 8 && code == (1 << bits) - 1, "bad padding");
    out
}

#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""),
    ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""),
    ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""),
    ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
    ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""),
    ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
    ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];
