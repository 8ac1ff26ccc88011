//! What was wrong with a message. Every variant has a reason word and the status that answers it.

/// Defines [`HeadError`] with its statuses and words in one table.
macro_rules! head_errors {
    ($($(#[doc = $doc:literal])+ $variant:ident = $status:literal, $word:literal, $text:literal;)*) => {
        /// A head that is refused. A request gets [`HeadError::status`]; a response becomes a 502.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum HeadError {
            $($(#[doc = $doc])+ #[error($text)] $variant,)*
        }

        impl HeadError {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The status that a gateway answers a request with (400, 414, 417, 431, 501, 505).
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The reason word of a refused request, such as `request.field.name` or `request.framing.both`.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$variant => concat!("request.", $word),)* }
            }

            /// What is wrong, as a sentence for people.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The reason word of a refused response, such as `response.framing.both`.
            pub fn response_reason(self) -> &'static str {
                match self { $(Self::$variant => concat!("response.", $word),)* }
            }
        }
    };
}

head_errors! {
    /// The start line is not one: parts missing, or white space other than single spaces.
    Malformed = 400, "line", "malformed start line";
    /// A line ends in a bare LF, or a CR stands without its LF.
    LineEnd = 400, "line_end", "a line does not end in CRLF";
    /// The method is not a token.
    Method = 400, "method", "malformed method";
    /// The method is longer than any that is known.
    MethodLength = 501, "method.length", "the method is too long";
    /// The target has bytes that no target has, or not the form that its method asks for.
    Target = 400, "target", "malformed request target";
    /// The target carries a fragment.
    TargetFragment = 400, "target.fragment", "the request target has a fragment";
    /// The target's scheme is neither http nor https.
    TargetScheme = 400, "target.scheme", "the request target's scheme is not http or https";
    /// The target is longer than the limit.
    TargetLength = 414, "target.length", "the request target is too long";
    /// The path cannot be normalised.
    Path = 400, "path", "the path is not valid";
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version = 505, "version", "unsupported HTTP version";
    /// The status is not three digits from 100 to 599, or the reason phrase holds control bytes.
    Status = 400, "status", "malformed status";
    /// The head is longer than the limit.
    HeadLength = 431, "head.length", "the head is too long";
    /// There are more field lines than the limit.
    FieldCount = 431, "field.count", "too many fields";
    /// A field name that is empty or not a token.
    FieldName = 400, "field.name", "malformed field name";
    /// White space between a field name and its colon.
    FieldSpace = 400, "field.space", "white space before the colon of a field";
    /// A field line that begins with white space.
    FieldFold = 400, "field.fold", "a folded field line";
    /// A NUL or another control byte in a field value.
    FieldValue = 400, "field.value", "malformed field value";
    /// HTTP/1.1 without `Host`.
    HostMissing = 400, "host.missing", "Host is missing";
    /// More than one `Host`.
    HostRepeated = 400, "host.repeated", "several Host fields";
    /// A `Host` or authority that is not a host with an optional port.
    HostInvalid = 400, "host.invalid", "malformed Host or authority";
    /// HTTP/2: `:authority` and `Host` name two hosts.
    HostDifferent = 400, "host.different", ":authority and Host differ";
    /// HTTP/2: a field that speaks of one connection, or `TE` with more than `trailers` (RFC 9113, 8.2.2).
    FieldConnection = 400, "field.connection", "a connection-specific field in HTTP/2";
    /// Extended CONNECT to a protocol other than `websocket` (RFC 8441, 5).
    Protocol = 501, "protocol", "extended CONNECT to an unknown protocol";
    /// `Content-Length` and `Transfer-Encoding` together.
    FramingBoth = 400, "framing.both", "Content-Length and Transfer-Encoding together";
    /// `Content-Length` is not one decimal number.
    Length = 400, "framing.length", "malformed Content-Length";
    /// More than one `Content-Length`, equal or not.
    LengthRepeated = 400, "framing.length.repeated", "several Content-Length fields";
    /// `Transfer-Encoding` does not end in exactly one `chunked`.
    Coding = 400, "framing.coding", "Transfer-Encoding is not chunked";
    /// A transfer coding that is not implemented, before the final `chunked`.
    CodingUnknown = 501, "framing.coding.unknown", "a transfer coding that is not implemented";
    /// `Transfer-Encoding` in an HTTP/1.0 message, or in an interim response.
    CodingForbidden = 400, "framing.coding.forbidden", "Transfer-Encoding where there can be none";
    /// `Connection` lists more options than the limit.
    ConnectionOptions = 400, "connection.options", "too many connection options";
    /// An expectation other than `100-continue`.
    Expectation = 417, "expectation", "an expectation that cannot be met";
}

/// Defines [`BodyError`] with its words in one table.
macro_rules! body_errors {
    ($($(#[doc = $doc:literal])+ $variant:ident = $status:literal, $word:literal, $text:literal;)*) => {
        /// A body that is refused, or that ended before its end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum BodyError {
            $($(#[doc = $doc])+ #[error($text)] $variant,)*
        }

        impl BodyError {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The status that answers a request with such a body, if its response has not begun.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The reason word, such as `body.truncated` or `body.chunk.size`.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$variant => concat!("body.", $word),)* }
            }
        }
    };
}

body_errors! {
    /// The peer closed before the body was complete.
    Truncated = 400, "truncated", "the body ended early";
    /// More bytes were to be written than the stated length.
    Overrun = 500, "overrun", "the body is longer than stated";
    /// A chunk size that is not one to sixteen hexadecimal digits.
    ChunkSize = 400, "chunk.size", "malformed chunk size";
    /// A chunk extension outside the grammar.
    ChunkExtension = 400, "chunk.extension", "malformed chunk extension";
    /// A chunk size line, or the extensions of the whole body, over the limit.
    ChunkLine = 400, "chunk.line", "chunk extensions are too long";
    /// A line of the chunked coding that does not end in CRLF.
    LineEnd = 400, "chunk.line_end", "a line of the chunked coding does not end in CRLF";
    /// Chunk data that is longer than its chunk's size.
    ChunkEnd = 400, "chunk.end", "chunk data does not end in CRLF";
    /// A body of gRPC-web that is not base64, or ends within a group of four.
    Base64 = 400, "base64", "malformed base64";
    /// A trailer field that is malformed.
    Trailer = 400, "trailer", "malformed trailer field";
    /// Trailer fields over the limits of a head.
    TrailerLength = 431, "trailer.length", "trailer fields are too long or too many";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reason_words_are_unique_and_stable() {
        let table = "\
            400 request.line\n400 request.line_end\n400 request.method\n501 request.method.length\n\
            400 request.target\n400 request.target.fragment\n400 request.target.scheme\n414 request.target.length\n\
            400 request.path\n505 request.version\n400 request.status\n431 request.head.length\n\
            431 request.field.count\n400 request.field.name\n400 request.field.space\n400 request.field.fold\n\
            400 request.field.value\n400 request.host.missing\n400 request.host.repeated\n400 request.host.invalid\n\
            400 request.host.different\n400 request.field.connection\n501 request.protocol\n\
            400 request.framing.both\n400 request.framing.length\n400 request.framing.length.repeated\n\
            400 request.framing.coding\n501 request.framing.coding.unknown\n400 request.framing.coding.forbidden\n\
            400 request.connection.options\n417 request.expectation\n\
            400 body.truncated\n500 body.overrun\n400 body.chunk.size\n400 body.chunk.extension\n\
            400 body.chunk.line\n400 body.chunk.line_end\n400 body.chunk.end\n400 body.base64\n400 body.trailer\n\
            431 body.trailer.length\n";
        let heads = HeadError::ALL.iter().map(|error| (error.status(), error.reason()));
        let bodies = BodyError::ALL.iter().map(|error| (error.status(), error.reason()));
        let words: Vec<_> = heads.chain(bodies).collect();
        let rows: Vec<_> = words.iter().map(|(status, reason)| format!("{status} {reason}")).collect();
        assert_eq!(rows, table.lines().collect::<Vec<_>>());
        let unique: HashSet<_> = words.iter().map(|(_, reason)| reason).collect();
        assert_eq!(unique.len(), words.len());
    }

    #[test]
    fn every_word_is_documented() {
        let page = include_str!("../CONFORMANCE.md");
        for (status, word) in HeadError::ALL.iter().map(|error| (error.status(), error.reason())) {
            // A malformed status is found in responses only.
            let row = match word {
                "request.status" => "| 502 | `response.status` |".to_owned(),
                _ => format!("| {status} | `{word}` |"),
            };
            assert!(page.contains(&row), "{row}");
        }
        for error in BodyError::ALL {
            let row = format!("| {} | `{}` |", error.status(), error.reason());
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn a_response_has_the_same_words_under_its_own_name() {
        for error in HeadError::ALL {
            let request = error.reason().strip_prefix("request.");
            assert_eq!(request, error.response_reason().strip_prefix("response."));
            assert!(request.is_some());
        }
    }
}
