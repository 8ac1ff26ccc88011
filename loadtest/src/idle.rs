//! What an idle connection costs: many are opened, each makes one request, and then nothing happens on them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::answer;
use crate::args::Url;
use crate::clock;
use crate::process;

/// Opens connections and makes one checked request on each.
pub(crate) fn open(url: &Url, connections: usize) -> Result<Vec<TcpStream>> {
    let request = url.request();
    let mut held = Vec::with_capacity(connections);
    let mut input = Vec::new();
    for number in 0..connections {
        let mut stream = TcpStream::connect(url.address)
            .with_context(|| format!("connection {number} to {}", url.address))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&request)?;
        ask(&mut stream, &mut input).with_context(|| format!("on connection {number}"))?;
        held.push(stream);
    }
    Ok(held)
}

/// Reads one answer, which must be a 200 that leaves the connection open.
fn ask(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<()> {
    input.clear();
    let mut buffer = [0; 4096];
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(read) => read,
            // A read with a time limit is not taken up again by the kernel.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        input.extend_from_slice(buffer.get(..read).unwrap_or_default());
        match answer::parse(input).map_err(anyhow::Error::msg)? {
            Some(answer) if answer.status == 200 && !answer.closes => return Ok(()),
            Some(answer) => bail!("not a 200 on a connection that stays open: {answer:?}"),
            None if read == 0 => bail!("closed without an answer"),
            None => {}
        }
    }
}

/// How many of them the other side has not closed.
pub(crate) fn still_open(held: &[TcpStream]) -> usize {
    let is_open = |stream: &&TcpStream| {
        let mut byte = [0];
        let waits = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
        stream.set_nonblocking(true).is_ok() && stream.peek(&mut byte).is_err_and(waits)
    };
    held.iter().filter(is_open).count()
}

/// Resident bytes, once two looks half a second apart agree, or after ten looks.
pub(crate) fn settled_memory(pid: u32) -> Result<u64> {
    let mut last = process::resident_bytes(pid)?;
    for _ in 0..10 {
        clock::wait(Duration::from_millis(500));
        let now = process::resident_bytes(pid)?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// Bytes per connection.
pub(crate) fn each(before: u64, after: u64, connections: usize) -> u64 {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX).max(1);
    after.saturating_sub(before) / connections
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::origin;

    #[test]
    fn connections_stay_open_until_the_other_side_closes_them() {
        let origin = origin::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 10).unwrap();
        let held = open(&Url::root(origin.address()), 20).unwrap();
        assert_eq!((held.len(), still_open(&held)), (20, 20));
        held[3].shutdown(std::net::Shutdown::Write).unwrap();
        assert!(
            clock::until(Duration::from_secs(10), || still_open(&held) == 19),
            "the origin closes that one"
        );
        assert_eq!(each(1_000, 21_000, 20), 1_000);
    }
}
