//! Closing a connection whose client may still be sending: a close with unread bytes would make the kernel reset the
//! connection, and the reset can overtake the answer. So the sending side ends first, and what comes is read and
//! forgotten for a while.

use std::rc::Rc;
use std::time::Duration;

use super::Connection;
use crate::worker::Local;

/// At most so long.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// At most so much.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Ends the sending side, and reads until the client has closed too.
pub(super) async fn linger(local: &Rc<Local>, mut connection: Connection) {
    read_out(local, &mut connection).await;
}

/// The same for a connection that is dropped next.
pub(super) async fn read_out(local: &Local, connection: &mut Connection) {
    super::settle(connection).await;
    connection.writer.finish();
    connection.input.clear();
    connection.set_deadline(local, local.now().after(LINGER_TIME));
    let mut seen = 0;
    while seen < LINGER_BYTES_MAX {
        match connection.reader.recv(&connection.stay.entry.deadline).await {
            Ok(Some(bytes)) => seen += bytes.len(),
            Ok(None) | Err(_) => return,
        }
    }
}
