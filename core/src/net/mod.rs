//! The seam: the only place that names the runtime, and the only place where buffers meet the ring.
//!
//! Everything here belongs to one thread. Nothing of the runtime leaks out: other rooms see streams as [`Reader`]
//! and [`Writer`] halves, [`Buffer`]s, [`Deadline`]s and [`spawn`].

mod buffers;
mod connect;
mod deadline;
mod file;
mod gather;
mod intake;
mod listener;
mod mailbox;
mod outbox;
mod reader;
mod runtime;
mod socket;
pub mod tls;
mod transport;
mod writer;

pub use buffers::{Buffer, Buffers};
pub use connect::{SocketAddress, connect};
pub use deadline::{Deadline, Timers, sleep};
pub use file::File;
pub use listener::{Acceptor, BoundListener, Sharing, bind, is_resource_exhaustion};
pub use mailbox::{Mailbox, MailboxSender, mailbox};
pub use reader::{Hold, Reader};
pub use runtime::{DriverInfo, RuntimeError, contain, raise_nofile, run, spawn};
pub use transport::{NetError, Peer, Stream, close};
pub use writer::Writer;
