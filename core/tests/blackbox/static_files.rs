//! Files: found, validated, in parts, precompressed, and never from outside their folder.

use std::path::Path;

use crate::support::{Client, Gateway, Response, fresh_dir};

/// A gateway that serves the `site` folder of its own folder under `/docs/`.
fn serving(files: &[(&str, &[u8])]) -> Gateway {
    let dir = fresh_dir();
    for (name, content) in files {
        let path = dir.join("site").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    std::fs::write(dir.join("secret"), "secret").unwrap();
    Gateway::start_in(
        &dir,
        "[routes.docs]\nmatch = { prefix = \"/docs/\" }\nstatic = { root = \"site\", index = \"index.html\" }\n",
    )
}

fn ask(client: &mut Client, path: &str, fields: &str) -> Response {
    client.ask(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"))
}

#[test]
fn a_file_is_served_with_its_type_and_length() {
    let gateway = serving(&[("a.html", b"<p>"), ("b/c.json", b"{}"), ("d.css", b"x"), ("e", b"raw")]);
    let mut client = gateway.client();
    for (path, media_type, body) in [
        ("/docs/a.html", "text/html", "<p>"),
        ("/docs/b/c.json", "application/json", "{}"),
        ("/docs/d.css", "text/css", "x"),
        ("/docs/e", "application/octet-stream", "raw"),
        ("/docs/b/../a.html", "text/html", "<p>"),
    ] {
        let response = client.get(path);
        assert_eq!((response.status, response.text()), (200, body), "{path}");
        assert!(response.field("content-type").unwrap().starts_with(media_type), "{path}: {}", response.head);
        assert_eq!(response.field("content-length").unwrap(), body.len().to_string());
    }
}

#[test]
fn a_folder_is_its_index() {
    let gateway = serving(&[("index.html", b"home"), ("sub/index.html", b"sub"), ("empty/x", b"")]);
    let mut client = gateway.client();
    assert_eq!(client.get("/docs/").text(), "home");
    assert_eq!(client.get("/docs/sub/").text(), "sub");
    let bare = client.get("/docs/sub?q");
    assert_eq!(
        (bare.status, bare.field("location")),
        (301, Some("/docs/sub/?q")),
        "so that relative links hold"
    );
    assert_eq!(client.get("/docs/empty/").status, 404);
    assert_eq!(client.get("/docs/missing").status, 404);
}

#[test]
fn nothing_outside_the_folder_is_ever_served() {
    let gateway = serving(&[("a.html", b"a"), ("sub/x", b"x")]);
    std::os::unix::fs::symlink(gateway.dir().join("secret"), gateway.dir().join("site/link")).unwrap();
    std::os::unix::fs::symlink(Path::new("/etc"), gateway.dir().join("site/etc")).unwrap();
    for path in [
        "/docs/../secret",
        "/docs/%2e%2e/secret",
        "/docs/..%2fsecret",
        "/docs/%2e%2e%2fsecret",
        "/docs/sub/../../secret",
        "/docs/..\\secret",
        "/docs/..%5csecret",
        "/docs//../secret",
        "/docs/./%2e./secret",
        "/docs/link",
        "/docs/etc/passwd",
        "/docs/a.html%00",
        "/docs//etc/passwd",
    ] {
        let response = gateway.client().get(path);
        assert!([400, 403, 404].contains(&response.status), "{path}: {}", response.status);
        assert!(!response.text().contains("secret\n") && !response.text().contains("root:"), "{path}");
    }
}

#[test]
fn a_known_file_is_not_sent_again() {
    let gateway = serving(&[("a.txt", b"content")]);
    let mut client = gateway.client();
    let first = client.get("/docs/a.txt");
    let etag = first.field("etag").unwrap().to_owned();
    let modified = first.field("last-modified").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for fields in [
        format!("If-None-Match: {etag}\r\n"),
        format!("If-None-Match: \"x\", W/{etag}\r\n"),
        "If-None-Match: *\r\n".to_owned(),
        format!("If-Modified-Since: {modified}\r\n"),
    ] {
        let response = ask(&mut client, "/docs/a.txt", &fields);
        assert_eq!((response.status, response.field("etag")), (304, Some(etag.as_str())), "{fields}");
    }
    let stale = format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n");
    assert_eq!(ask(&mut client, "/docs/a.txt", &stale).status, 200);
    std::fs::write(gateway.dir().join("site/a.txt"), "changed!").unwrap();
    let again = ask(&mut client, "/docs/a.txt", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((again.status, again.text()), (200, "changed!"));
}

#[test]
fn a_range_is_a_part() {
    let gateway = serving(&[("a.txt", b"0123456789")]);
    let mut client = gateway.client();
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=4-", 206, "456789", "bytes 4-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=8-100", 206, "89", "bytes 8-9/10"),
        ("bytes=-100", 206, "0123456789", "bytes 0-9/10"),
    ] {
        let response = ask(&mut client, "/docs/a.txt", &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.text()), (status, body), "{range}");
        assert_eq!(response.field("content-range"), Some(content_range), "{range}");
    }
    let beyond = ask(&mut client, "/docs/a.txt", "Range: bytes=10-\r\n");
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */10")));
    for ignored in
        ["Range: items=0-1\r\n", "Range: bytes=x-\r\n", "Range: bytes=0-1\r\nIf-Range: \"other\"\r\n"]
    {
        assert_eq!(ask(&mut client, "/docs/a.txt", ignored).text(), "0123456789", "{ignored}");
    }
    assert_eq!(client.get("/docs/a.txt").field("accept-ranges"), Some("bytes"));
}

#[test]
fn a_precompressed_variant_is_preferred_when_it_is_accepted() {
    let files: [(&str, &[u8]); 3] = [("a.js", b"plain"), ("a.js.gz", b"gzipped"), ("a.js.br", b"brotli")];
    let gateway = serving(&files);
    let mut client = gateway.client();
    for (accept, body, coding) in [
        ("", "plain", None),
        ("Accept-Encoding: gzip\r\n", "gzipped", Some("gzip")),
        ("Accept-Encoding: gzip, br\r\n", "brotli", Some("br")),
        ("Accept-Encoding: br;q=0, gzip\r\n", "gzipped", Some("gzip")),
        ("Accept-Encoding: zstd\r\n", "plain", None),
    ] {
        let response = ask(&mut client, "/docs/a.js", accept);
        assert_eq!((response.text(), response.field("content-encoding")), (body, coding), "{accept}");
        assert!(
            response.field("vary").is_some_and(|v| v.eq_ignore_ascii_case("accept-encoding")),
            "{accept}"
        );
        let media_type = response.field("content-type").unwrap();
        assert!(media_type.contains("javascript"), "{accept}: {media_type}");
    }
}

#[test]
fn only_get_and_head_are_allowed() {
    let gateway = serving(&[("a.txt", b"content")]);
    let mut client = gateway.client();
    client.send("HEAD /docs/a.txt HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = client.response_to("HEAD");
    assert_eq!((head.status, head.field("content-length")), (200, Some("7")));
    let post = client.ask("POST /docs/a.txt HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_large_file_arrives_whole() {
    let content: Vec<u8> = (0..5_000_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let gateway = serving(&[("big.bin", &content)]);
    let mut client = gateway.client();
    for _ in 0..3 {
        assert!(client.get("/docs/big.bin").body == content);
    }
    let part = ask(&mut client, "/docs/big.bin", "Range: bytes=1000000-3999999\r\n");
    assert!(part.body == content[1_000_000..4_000_000]);
}
