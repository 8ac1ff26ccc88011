//! Listening sockets: bound by control (so that an error is one error), accepted from on a worker.
//!
//! Accepting is: wait for readability (droppable at no loss), then `accept4` with CLOEXEC until the queue is empty
//! or a bound is reached. No accept is ever in flight, so none can leak a connection.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ringway_config::snapshot::Address;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, SockAddr, SockRef, Socket as SystemSocket, Type};

use super::deadline::turn;
use super::socket::{Socket, Watch, is_epoll, set_unsent_max};
use super::{Peer, Stream};

/// The accept queue's length; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Connections accepted in a row before the driver gets a turn.
const BURST: u32 = 64;

/// A bound, listening socket, on its way to a worker. `Send`.
#[derive(Debug)]
pub struct BoundListener {
    fd: OwnedFd,
    local: Option<SocketAddr>,
    file: Option<SocketFile>,
}

/// A Unix socket's file: only the one that we made is ours to remove.
#[derive(Debug, Clone)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    fn remove(&self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // Gone already is as good.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = std::fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino()))
}

/// Whether another process may have the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Refused when another instance listens there.
    Refuse,
    /// `share_addresses = true`.
    Allow,
}

/// Binds `count` `SO_REUSEPORT` sockets (for a Unix socket: one, dup'ed) on one address, after a probe that no
/// other instance has it. Port 0 is resolved once: all get the same port.
///
/// An IPv6 socket takes IPv6 only (`IPV6_V6ONLY`): `0.0.0.0:80` and `[::]:80` are two addresses, whatever the
/// system's default is. A Unix socket's file is replaced only when nobody answers on it.
pub fn bind(address: &Address, count: usize, sharing: Sharing) -> io::Result<Vec<BoundListener>> {
    match address {
        Address::Socket(address) => bind_tcp(*address, count, sharing),
        Address::Unix(path) => bind_unix(path, count),
        Address::Name(name, port) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name}:{port} is a name; a listener needs an IP address or a path"),
        )),
    }
}

fn bind_tcp(mut address: SocketAddr, count: usize, sharing: Sharing) -> io::Result<Vec<BoundListener>> {
    if sharing == Sharing::Refuse && address.port() != 0 {
        // Without SO_REUSEPORT a second listener is refused, whatever the first one set.
        drop(tcp_socket(address, false)?);
    }
    let mut bound = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = tcp_socket(address, true)?;
        socket.listen(BACKLOG)?;
        let local = socket.local_addr()?.as_socket();
        if let Some(local) = local {
            address.set_port(local.port());
        }
        bound.push(BoundListener { fd: socket.into(), local, file: None });
    }
    Ok(bound)
}

/// What the kernel queues of an answer beyond what is under way to the client. Without a bound it reports room only
/// after a third of a queue of megabytes has drained, and a slow client that takes bytes all the time looks stalled.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

fn tcp_socket(address: SocketAddr, share: bool) -> io::Result<SystemSocket> {
    // CLOEXEC is set by `new`.
    let socket = SystemSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit both.
    socket.set_nodelay(true)?;
    set_unsent_max(&socket, UNSENT_BYTES_MAX)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

fn bind_unix(path: &Path, count: usize) -> io::Result<Vec<BoundListener>> {
    match UnixStream::connect(path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            if std::fs::symlink_metadata(path)?.file_type().is_socket() {
                std::fs::remove_file(path)?;
            }
        }
        // Whatever else is there: `bind` says what is wrong.
        Err(_) => {}
    }
    let socket = SystemSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    socket.listen(BACKLOG)?;
    let bound = |fd| BoundListener { fd, local: None, file: Some(file.clone()) };
    (0..count).map(|_| Ok(bound(socket.try_clone()?.into()))).collect()
}

impl BoundListener {
    /// Where it listens (the real port), for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Seats it on this thread.
    pub fn seat(self) -> io::Result<Acceptor> {
        let socket = Socket::new(self.fd)?;
        let watch = socket.watch();
        Ok(Acceptor { watch, socket, local: self.local, file: self.file, ready: true, burst: 0 })
    }
}

/// A listening socket on its worker.
pub struct Acceptor {
    watch: Watch,
    socket: Socket,
    local: Option<SocketAddr>,
    file: Option<SocketFile>,
    /// There may be more in the queue.
    ready: bool,
    burst: u32,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Where it listens (the real port), for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The next connection, `TCP_NODELAY` set. Errors such as EMFILE are for the caller to count and back off from
    /// (never a spin); those of a single connection (ECONNABORTED) are skipped. Dropping the future loses nothing.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            if self.ready && self.burst < BURST {
                match self.accept_one() {
                    Ok(Some(stream)) => {
                        self.burst += 1;
                        return Ok(stream);
                    }
                    Ok(None) => self.ready = false,
                    Err(error) => return Err(error),
                }
            }
            if self.burst >= BURST {
                turn().await;
            }
            // After a burst this is the turn that the other tasks get: a poll of a queue that is not empty is
            // complete at once, but only through the driver.
            poll_fn(|cx| self.watch.poll(cx)).await?;
            self.ready = true;
            self.burst = 0;
        }
    }

    /// Stops new handshakes (a socket filter drops SYNs, so that clients try again elsewhere or are refused after
    /// the close) while queued connections can still be accepted. A Unix socket's file is removed instead.
    pub fn stop_handshakes(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.remove();
            return Ok(());
        }
        SockRef::from(&self.socket).attach_filter(&NO_NEW_HANDSHAKE)
    }

    /// One already queued connection, without waiting; `None` when the queue is empty.
    pub fn accept_queued(&mut self) -> Option<Stream> {
        self.accept_one().ok().flatten()
    }

    fn accept_one(&self) -> io::Result<Option<Stream>> {
        let mut flags = SocketFlags::CLOEXEC;
        if is_epoll() {
            flags |= SocketFlags::NONBLOCK;
        }
        loop {
            let (fd, peer) = match acceptfrom_with(&self.socket, flags) {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) if is_of_one_connection(error) => continue,
                Err(error) => return Err(error.into()),
            };
            let peer = match peer.map(SocketAddr::try_from) {
                Some(Ok(address)) => Peer::Socket(address),
                Some(Err(_)) | None => Peer::Unix,
            };
            return Stream::new(fd, peer).map(Some);
        }
    }
}

/// Lets every segment pass but those that open a connection (SYN without ACK). The data of a filter on a TCP socket
/// starts at the TCP header, whose flags are byte 13. Accepted sockets inherit it, and are never sent such a
/// segment.
const NO_NEW_HANDSHAKE: [libc::sock_filter; 5] = [
    instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 13),
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0x12),
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 0x02),
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
];

const fn instruction(code: u32, if_true: u8, if_false: u8, operand: u32) -> libc::sock_filter {
    #[expect(clippy::cast_possible_truncation, reason = "instruction codes are 16 bits wide")]
    let code = code as u16;
    libc::sock_filter { code, jt: if_true, jf: if_false, k: operand }
}

/// Errors that concern the connection that would have been accepted, and not the listener (accept(2) names them).
fn is_of_one_connection(error: Errno) -> bool {
    [
        Errno::INTR,
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::TIMEDOUT,
        Errno::PERM,
    ]
    .contains(&error)
}

/// Whether an error says that the process or the system has run out of something (descriptors, memory), so that
/// trying again at once is of no use.
pub fn is_resource_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)
    )
}
