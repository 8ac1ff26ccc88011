//! What a gateway knows of gRPC: its content types, deadlines, statuses, health messages, and its form for browsers.
//!
//! Messages pass as the bytes that they are; only those of `health` are read and written.

#[doc(hidden)]
pub mod fuzz;
pub mod health;
pub mod status;
pub mod timeout;
pub mod web;

pub use status::Status;

/// The content type of gRPC, without the message's format.
const GRPC: &str = "application/grpc";
/// The content types of gRPC-web.
const WEB: &str = "application/grpc-web";
const WEB_TEXT: &str = "application/grpc-web-text";

/// A dialect of gRPC, known by the content type of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-web, in which trailers are the last frame of the body.
    Web,
    /// gRPC-web in base64.
    WebText,
}

impl Dialect {
    /// The dialect of a content type: its name, alone or followed by `+` or `;`.
    pub fn of(content_type: &[u8]) -> Option<Self> {
        [Self::Grpc, Self::Web, Self::WebText].into_iter().find(|dialect| {
            let name = dialect.content_type().as_bytes();
            content_type.split_at_checked(name.len()).is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(name) && matches!(rest.first(), None | Some(b'+' | b';'))
            })
        })
    }

    /// Its content type, without the message's format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => GRPC,
            Self::Web => WEB,
            Self::WebText => WEB_TEXT,
        }
    }

    /// Writes a content type of this dialect as one of another, with the same format. Appends nothing where it is
    /// none of this dialect.
    pub fn translate(self, content_type: &[u8], to: Self, out: &mut Vec<u8>) {
        if Self::of(content_type) == Some(self) {
            out.extend_from_slice(to.content_type().as_bytes());
            out.extend_from_slice(content_type.get(self.content_type().len()..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_its_name_and_what_may_follow() {
        for (content_type, dialect) in [
            ("application/grpc", Some(Dialect::Grpc)),
            ("Application/gRPC+proto", Some(Dialect::Grpc)),
            ("application/grpc;charset=utf-8", Some(Dialect::Grpc)),
            ("application/grpc-web", Some(Dialect::Web)),
            ("application/grpc-web+proto", Some(Dialect::Web)),
            ("application/grpc-web-text", Some(Dialect::WebText)),
            ("application/grpc-web-text+proto", Some(Dialect::WebText)),
            ("application/grpc-web-texts", None),
            ("application/grpcx", None),
            ("application/grpc proto", None),
            ("application/grp", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(Dialect::of(content_type.as_bytes()), dialect, "{content_type}");
        }
    }

    #[test]
    fn a_translated_content_type_keeps_its_format() {
        let translate = |from: Dialect, text: &str, to| {
            let mut out = Vec::new();
            from.translate(text.as_bytes(), to, &mut out);
            String::from_utf8(out).unwrap()
        };
        let web = Dialect::WebText;
        assert_eq!(
            translate(web, "application/grpc-web-text+proto", Dialect::Grpc),
            "application/grpc+proto"
        );
        assert_eq!(translate(Dialect::Grpc, "application/grpc", web), "application/grpc-web-text");
        assert_eq!(
            translate(Dialect::Web, "application/grpc-web;a=b", Dialect::Grpc),
            "application/grpc;a=b"
        );
        assert_eq!(translate(Dialect::Grpc, "text/html", web), "");
    }
}
