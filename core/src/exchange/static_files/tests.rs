//! Requests against a folder on disk.

use std::fs;
use std::path::PathBuf;

use ringway_config::snapshot::Driver;
use ringway_http::Limits;
use ringway_http::h1::HeadReader;

use super::*;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("ringway-static-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("site/sub")).unwrap();
        for (file, text) in [
            ("secret.txt", "secret"),
            ("site/index.html", "<p>"),
            ("site/index.html.gz", "gz!!"),
            ("site/app.js", "let a;"),
            ("site/app.js.br", "br"),
            ("site/app.js.gz", "gz!"),
            ("site/logo.png", "png"),
            ("site/logo.png.br", "never"),
            ("site/.hidden", "hidden"),
            ("site/a b.txt", "space"),
        ] {
            fs::write(root.join(file), text).unwrap();
        }
        std::os::unix::fs::symlink("../secret.txt", root.join("site/out.txt")).unwrap();
        Self(root)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Status, `Location` or coding, and how many bytes: `200 br 2`.
async fn ask(files: &StaticFiles, method: &str, path: &str, lines: &str) -> String {
    let mut request = RequestHead::new();
    let wire = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    HeadReader::new().request(wire.as_bytes(), &Limits::default(), &mut request).unwrap().unwrap();
    let mut response = ResponseHead::new();
    let answer = match answer(files, &request, SystemTime::now(), &mut response).await {
        Ok(answer) => answer,
        Err(fault) => return format!("{fault:?}"),
    };
    let note = response
        .fields
        .value("Location")
        .or_else(|| response.fields.value("Content-Encoding"))
        .unwrap_or(b"-");
    let len = match answer {
        Answer::Content { len, .. } => len,
        Answer::Bare => 0,
    };
    format!("{} {} {len}", response.status, String::from_utf8_lossy(note))
}

#[test]
fn requests_find_their_files_and_nothing_else() {
    let folder = Folder::new("find");
    let files = StaticFiles {
        root: folder.0.join("site"),
        index: "index.html".to_owned(),
        prefix: "/docs".to_owned(),
    };
    let run = crate::net::run(Driver::Auto, |_| async {
        for (method, path, lines, expected) in [
            ("GET", "/docs/app.js", "", "200 - 6"),
            ("HEAD", "/docs/app.js", "", "200 - 6"),
            ("GET", "/docs/app.js", "Accept-Encoding: gzip, br\r\n", "200 br 2"),
            ("GET", "/docs/app.js", "Accept-Encoding: gzip\r\n", "200 gzip 3"),
            ("GET", "/docs/app.js", "Accept-Encoding: zstd\r\n", "200 - 6"),
            ("GET", "/docs/app.js", "Accept-Encoding: br\r\nRange: bytes=1-\r\n", "206 br 1"),
            ("GET", "/docs/app.js", "Range: bytes=9-\r\n", "416 - 0"),
            ("GET", "/docs/logo.png", "Accept-Encoding: br\r\n", "200 - 3"),
            ("GET", "/docs/a%20b.txt", "", "200 - 5"),
            ("GET", "/docs/", "", "200 - 3"),
            ("GET", "/docs/", "Accept-Encoding: gzip\r\n", "200 gzip 4"),
            ("GET", "/docs", "", "301 /docs/ 0"),
            ("GET", "/docs?a=1", "", "301 /docs/?a=1 0"),
            ("GET", "/docs/sub?a=1", "", "301 /docs/sub/?a=1 0"),
            ("GET", "/docs/sub/", "", "NoFile"),
            ("GET", "/docs/app.js/", "", "NoFile"),
            ("GET", "/docs/app.js/x", "", "NoFile"),
            ("GET", "/docs/nothing", "Accept-Encoding: br\r\n", "NoFile"),
            ("GET", "/docs/nothing.js", "Accept-Encoding: br, gzip\r\n", "NoFile"),
            ("GET", "/docs/.hidden", "", "NoFile"),
            ("GET", "/docs/out.txt", "", "NoFile"),
            ("GET", "/docs/..%2Fsecret.txt", "", "NoFile"),
            ("GET", "/docs/%2E%2E%2Fsecret.txt", "", "NoFile"),
            ("GET", "/secret.txt", "", "NoFile"),
            ("POST", "/docs/app.js", "", "FileMethod"),
        ] {
            assert_eq!(ask(&files, method, path, lines).await, expected, "{method} {path} {lines}");
        }
        let long = format!("/docs/{}", "x".repeat(300));
        assert_eq!(ask(&files, "GET", &long, "").await, "NoFile", "a name longer than a file's can be");
        let gone = StaticFiles { root: folder.0.join("gone"), ..files.clone() };
        assert_eq!(ask(&gone, "GET", "/docs/app.js", "").await, "NoFile");
        let no_index = StaticFiles { index: String::new(), ..files };
        assert_eq!(ask(&no_index, "GET", "/docs/", "").await, "NoFile", "folders are not listed");
    });
    run.unwrap();
}
