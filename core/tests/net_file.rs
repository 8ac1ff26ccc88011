//! Files through the seam, on both drivers.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringway_config::snapshot::Driver;
use ringway_core::net::{Buffers, File, run, sleep, spawn};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("root/inner")).unwrap();
        std::fs::write(path.join("secret"), "secret").unwrap();
        Self(path)
    }
    fn root(&self) -> PathBuf {
        self.0.join("root")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn open(root: &Path, relative: &str) -> Result<u64, ErrorKind> {
    File::open_beneath(root, relative).await.map(|file| file.len()).map_err(|error| error.kind())
}

#[test]
fn only_regular_files_below_the_folder_are_opened() {
    for driver in [Driver::IoUring, Driver::Epoll] {
        let folder = Folder::new("beneath");
        let root = folder.root();
        std::fs::write(root.join("inner/page"), "hello").unwrap();
        std::os::unix::fs::symlink("inner/page", root.join("inside")).unwrap();
        std::os::unix::fs::symlink("../secret", root.join("outside")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        let listening = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        run(driver, |_| async {
            for (relative, expected) in [
                ("inner/page", Ok(5)),
                ("./inner//page", Ok(5)),
                ("inside", Ok(5)),
                ("inner/../inner/page", Ok(5)),
                ("missing", Err(ErrorKind::NotFound)),
                ("inner", Err(ErrorKind::IsADirectory)),
                ("inner/page/more", Err(ErrorKind::NotADirectory)),
                ("../secret", Err(ErrorKind::PermissionDenied)),
                ("inner/../../secret", Err(ErrorKind::PermissionDenied)),
                ("/etc/passwd", Err(ErrorKind::PermissionDenied)),
                ("outside", Err(ErrorKind::PermissionDenied)),
                ("absolute/passwd", Err(ErrorKind::PermissionDenied)),
                ("loop", Err(ErrorKind::PermissionDenied)),
            ] {
                assert_eq!(open(&root, relative).await, expected, "{relative}");
            }
            assert!(open(&root, "socket").await.is_err());
            assert!(open(&root, "nul\0byte").await.is_err());
        })
        .unwrap();
        drop(listening);
    }
}

#[test]
fn a_file_is_read_in_pieces_to_its_end() {
    for driver in [Driver::IoUring, Driver::Epoll] {
        let folder = Folder::new("pieces");
        let bytes: Vec<u8> = (0..700_001_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
        std::fs::write(folder.root().join("large"), &bytes).unwrap();
        run(driver, |_| async {
            let buffers = Buffers::new();
            let file = File::open_beneath(&folder.root(), "large").await.unwrap();
            assert_eq!(file.len(), 700_001);
            assert!(file.modified().elapsed().unwrap() < Duration::from_secs(600));
            let mut all = Vec::new();
            loop {
                let piece = file.read_at(&buffers, all.len() as u64, 100_000).await.unwrap();
                if piece.is_empty() {
                    break;
                }
                assert!(piece.len() <= 100_000);
                all.extend_from_slice(piece.filled());
            }
            assert!(all == bytes);
            assert_eq!(file.read_at(&buffers, 5, 3).await.unwrap().filled(), &bytes[5..8]);
            assert!(file.read_at(&buffers, 5, 0).await.unwrap().is_empty());
        })
        .unwrap();
    }
}

#[test]
fn many_opens_at_once_are_answered_or_refused_and_dropped_ones_leave_nothing() {
    let folder = Folder::new("many");
    std::fs::write(folder.root().join("page"), "hello").unwrap();
    run(Driver::IoUring, |_| async {
        let (opened, refused) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for _ in 0..5_000 {
            let (root, opened, refused) = (folder.root(), Rc::clone(&opened), Rc::clone(&refused));
            spawn(async move {
                match open(&root, "page").await {
                    Ok(5) => opened.set(opened.get() + 1),
                    Err(ErrorKind::ResourceBusy) => refused.set(refused.get() + 1),
                    other => panic!("{other:?}"),
                }
            });
        }
        // Dropped after one poll.
        for _ in 0..100 {
            let root = folder.root();
            let mut opening = Box::pin(open(&root, "page"));
            std::future::poll_fn(|cx| {
                let _ = opening.as_mut().poll(cx);
                std::task::Poll::Ready(())
            })
            .await;
        }
        while opened.get() + refused.get() < 5_000 {
            sleep(Duration::from_millis(10)).await;
        }
        // The dropped ones asked first, and count until they are answered.
        assert_eq!(opened.get(), 1_024 - 100);
        assert_eq!(open(&folder.root(), "page").await, Ok(5));
    })
    .unwrap();
}
