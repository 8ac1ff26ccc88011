//! TLS against OpenSSL, both ways round. Where there is no `openssl` command, nothing is tested, and that is said.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::support::{VERSIONS, client_config, name, path, server_config};
use ringway_config::snapshot::{Address, Driver};
use ringway_core::net::{Buffer, Buffers, Sharing, SocketAddress, Timers, bind, connect, run, sleep, tls};

fn openssl(arguments: &[&str]) -> Option<(Child, ChildStdin, BufReader<ChildStdout>)> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("RINGWAY_REQUIRE_PEERS").is_none(), "there is no openssl command");
        println!("skipped: there is no openssl command");
        return None;
    };
    let (stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
    Some((child, stdin, BufReader::new(stdout)))
}

/// What a process says, line by line, from a thread of its own.
fn lines(stdout: BufReader<ChildStdout>) -> std::sync::mpsc::Receiver<String> {
    let (said, lines) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        })
        .unwrap();
    lines
}

#[test]
fn a_client_of_openssl_may_change_keys_at_any_time() {
    for driver in [Driver::IoUring, Driver::Epoll] {
        run(driver, |_| async {
            let address = Address::Socket("127.0.0.1:0".parse().unwrap());
            let bound = bind(&address, 1, Sharing::Refuse).unwrap().pop().unwrap();
            let at = bound.local().unwrap().to_string();
            let mut acceptor = bound.seat().unwrap();
            let ca = path("ca.pem").display().to_string();
            let arguments = ["s_client", "-connect", &at, "-CAfile", &ca, "-verify_return_error", "-tls1_3"];
            let Some((mut child, mut stdin, stdout)) = openssl(&arguments) else { return };
            let lines = lines(stdout);
            let buffers = Buffers::new();
            let deadline = Timers::start().deadline();
            let (mut reader, mut writer) = acceptor.accept().await.unwrap().split(&buffers);
            let config = Arc::new(server_config(VERSIONS[1]));
            tls::accept(&mut reader, &mut writer, Buffer::empty(), &config, &deadline).await.unwrap();
            // `k` changes its keys, `K` asks for ours to change as well.
            for (round, command) in ["k\n", "K\n", "K\n"].into_iter().enumerate() {
                stdin.write_all(command.as_bytes()).unwrap();
                sleep(Duration::from_millis(50)).await;
                let text = format!("round {round}\n");
                stdin.write_all(text.as_bytes()).unwrap();
                let got = reader.recv(&deadline).await.unwrap().unwrap();
                assert_eq!(got.filled(), text.as_bytes());
                writer.send(got, &deadline).await.unwrap();
                let wanted = text.trim_end();
                while lines.recv_timeout(Duration::from_secs(10)).unwrap() != wanted {}
            }
            // It closes with a close_notify.
            stdin.write_all(b"Q\n").unwrap();
            assert!(reader.recv(&deadline).await.unwrap().is_none());
            drop((reader, writer));
            child.wait().unwrap();
        })
        .unwrap();
    }
}

#[test]
fn a_server_of_openssl_is_understood_and_its_end_believed() {
    for (driver, version) in [(Driver::IoUring, "-tls1_3"), (Driver::Epoll, "-tls1_2")] {
        run(driver, |_| async {
            let (certificate, key) = (path("server.pem"), path("server.key"));
            let port = {
                let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                free.local_addr().unwrap()
            };
            let at = port.to_string();
            let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
            let arguments =
                ["s_server", "-accept", &at, "-cert", &certificate, "-key", &key, "-rev", version];
            let Some((mut child, _stdin, mut stdout)) = openssl(&arguments) else { return };
            let mut line = String::new();
            while !line.starts_with("ACCEPT") {
                line.clear();
                assert!(stdout.read_line(&mut line).unwrap() > 0, "it does not listen");
            }
            let buffers = Buffers::new();
            let deadline = Timers::start().deadline();
            let address = SocketAddress::Tcp(port);
            let version = VERSIONS[usize::from(version == "-tls1_3")];
            let (mut reader, mut writer) = connect(&address, &deadline).await.unwrap().split(&buffers);
            let config = Arc::new(client_config(version));
            let told = tls::connect(&mut reader, &mut writer, &config, name(), &deadline).await.unwrap();
            assert!(!told.peer_certificates.is_empty());
            for text in ["abc\n".to_owned(), "x".repeat(9_000) + "y\n"] {
                let mut buffer = buffers.take(text.len());
                buffer.append().extend_from_slice(text.as_bytes());
                writer.send(buffer, &deadline).await.unwrap();
                let mut back = Vec::new();
                while back.len() < text.len() {
                    back.extend_from_slice(reader.recv(&deadline).await.unwrap().unwrap().filled());
                }
                let reversed: String = text.trim_end().chars().rev().chain(['\n']).collect();
                assert_eq!(String::from_utf8(back).unwrap(), reversed);
            }
            writer.finish();
            // It answers our close_notify with its own.
            assert!(reader.recv(&deadline).await.unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
            let _ = stdout.read_to_string(&mut line);
        })
        .unwrap();
    }
}
