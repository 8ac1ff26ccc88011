//! Clients on a Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::{Gateway, Origin, PATIENCE, fresh_dir, own_address, proxying};

#[test]
fn clients_on_a_unix_socket_are_not_counted_as_one_address() {
    let origin = Origin::saying("x");
    let text = format!(
        "[listeners.local]\nbind = \"unix:DIR/in.sock\"\nconnections_per_ip = 1\n{}",
        proxying(&origin)
    );
    let dir = fresh_dir();
    let gateway = Gateway::spawn(&dir, own_address(), &text);
    gateway.line_with(&["gateway.started"]);
    let open = [(); 3].map(|()| UnixStream::connect(dir.join("in.sock")).unwrap());
    for mut stream in open {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
