//! The media type of a file, by the end of its name.

/// A media type, and whether precompressed variants are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    content_type: &'static str,
    compressible: bool,
}

impl Media {
    /// As `Content-Type` says it.
    pub(crate) fn content_type(self) -> &'static str {
        self.content_type
    }

    /// Whether a client's `Accept-Encoding` may change what is sent.
    pub(crate) fn is_compressible(self) -> bool {
        self.compressible
    }
}

/// The type of a file; what is not known is bytes.
pub(crate) fn of(name: &str) -> Media {
    let file = name.rsplit('/').next().unwrap_or(name);
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let find = |table: &'static [(&str, &'static str)]| {
        table
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(extension))
            .map(|(_, content_type)| *content_type)
    };
    match (find(COMPRESSIBLE), find(DENSE)) {
        (Some(content_type), _) => Media { content_type, compressible: true },
        (None, Some(content_type)) => Media { content_type, compressible: false },
        (None, None) => Media { content_type: "application/octet-stream", compressible: false },
    }
}

const COMPRESSIBLE: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("json", "application/json"),
    ("svg", "image/svg+xml"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("map", "application/json"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("xml", "text/xml; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("toml", "application/toml"),
    ("ics", "text/calendar; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("xhtml", "application/xhtml+xml"),
    ("rss", "application/rss+xml"),
    ("atom", "application/atom+xml"),
    ("geojson", "application/geo+json"),
    ("jsonld", "application/ld+json"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("eot", "application/vnd.ms-fontobject"),
    ("ico", "image/vnd.microsoft.icon"),
    ("bmp", "image/bmp"),
    ("log", "text/plain; charset=utf-8"),
];

const DENSE: &[(&str, &str)] = &[
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("gif", "image/gif"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("woff2", "font/woff2"),
    ("woff", "font/woff"),
    ("mp4", "video/mp4"),
    ("m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("ogv", "video/ogg"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
    ("oga", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
    ("bz2", "application/x-bzip2"),
    ("xz", "application/x-xz"),
    ("tar", "application/x-tar"),
    ("epub", "application/epub+zip"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_by_the_last_extension() {
        for (name, content_type, compressible) in [
            ("index.html", "text/html; charset=utf-8", true),
            ("a.b/INDEX.HTML", "text/html; charset=utf-8", true),
            ("a/app.min.js", "text/javascript; charset=utf-8", true),
            ("logo.png", "image/png", false),
            ("archive.tar.gz", "application/gzip", false),
            ("folder.html/README", "application/octet-stream", false),
            ("x.unknown", "application/octet-stream", false),
            ("", "application/octet-stream", false),
        ] {
            let media = of(name);
            assert_eq!(
                (media.content_type(), media.is_compressible()),
                (content_type, compressible),
                "{name}"
            );
        }
    }
}
