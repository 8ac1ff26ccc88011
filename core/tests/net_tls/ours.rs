//! Our end of a connection, and the other side on a thread.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::support::{Client, Server, client, name, server};
use ringway_config::snapshot::{Address, Driver};
use ringway_core::net::tls::{self, Negotiated};
use ringway_core::net::{
    Acceptor, Buffer, Buffers, Deadline, NetError, Reader, Sharing, SocketAddress, Timers, Writer, bind,
    connect, run, sleep,
};

pub(crate) const DRIVERS: [Driver; 2] = [Driver::IoUring, Driver::Epoll];

pub(crate) fn listen() -> (Acceptor, SocketAddr) {
    let address = Address::Socket("127.0.0.1:0".parse().unwrap());
    let bound = bind(&address, 1, Sharing::Refuse).unwrap().pop().unwrap();
    let local = bound.local().unwrap();
    (bound.seat().unwrap(), local)
}

pub(crate) fn on_both<F: Future>(test: impl Fn() -> F) {
    for driver in DRIVERS {
        run(driver, |_| test()).unwrap();
    }
}

pub(crate) fn thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new().spawn(work).unwrap()
}

/// Waits for a thread while the driver goes on.
pub(crate) async fn join<T>(thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        sleep(Duration::from_millis(2)).await;
    }
    thread.join().unwrap()
}

pub(crate) struct Ours {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) deadline: Deadline,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) negotiated: Negotiated,
}

/// We accept; the other side runs on a thread of its own.
pub(crate) async fn accepted<T: Send + 'static>(
    config: rustls::ServerConfig,
    theirs: rustls::ClientConfig,
    peer: impl FnOnce(Client) -> T + Send + 'static,
) -> (Ours, JoinHandle<T>) {
    let (mut acceptor, address) = listen();
    let peer = thread(move || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        peer(client(stream, theirs))
    });
    let buffers = Buffers::new();
    let deadline = Timers::start().deadline();
    let (mut reader, mut writer) = acceptor.accept().await.unwrap().split(&buffers);
    let config = Arc::new(config);
    let negotiated =
        tls::accept(&mut reader, &mut writer, Buffer::empty(), &config, &deadline).await.unwrap();
    (Ours { reader, writer, deadline, buffers, negotiated }, peer)
}

/// We connect; the other side runs on a thread of its own.
pub(crate) async fn connected<T: Send + 'static>(
    theirs: rustls::ServerConfig,
    config: rustls::ClientConfig,
    peer: impl FnOnce(Server) -> T + Send + 'static,
) -> (Ours, JoinHandle<T>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = SocketAddress::Tcp(listener.local_addr().unwrap());
    let peer = thread(move || {
        let stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        peer(server(stream, theirs))
    });
    let buffers = Buffers::new();
    let deadline = Timers::start().deadline();
    let (mut reader, mut writer) = connect(&address, &deadline).await.unwrap().split(&buffers);
    let negotiated =
        tls::connect(&mut reader, &mut writer, &Arc::new(config), name(), &deadline).await.unwrap();
    (Ours { reader, writer, deadline, buffers, negotiated }, peer)
}

impl Ours {
    pub(crate) fn buffer(&self, bytes: &[u8]) -> Buffer {
        let mut buffer = self.buffers.take(bytes.len());
        buffer.append().extend_from_slice(bytes);
        buffer
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let buffer = self.buffer(bytes);
        self.writer.send(buffer, &self.deadline).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Option<Vec<u8>> {
        let got = self.reader.recv(&self.deadline).await.unwrap();
        got.map(|buffer| buffer.filled().to_vec())
    }

    pub(crate) async fn hear_error(&mut self) -> ErrorKind {
        match self.reader.recv(&self.deadline).await {
            Err(NetError::Io(error)) => error.kind(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}
