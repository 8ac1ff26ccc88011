//! What an idle connection costs: many are opened, each makes one request, and then nothing happens on them.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::answer;
use crate::args::Url;
use crate::clock;
use crate::line::{Got, Line};
use crate::process;
use crate::tls::Client;

/// Opens connections and makes one checked request on each.
pub(crate) fn open(url: &Url, connections: usize, tls: Option<&Client>) -> Result<Vec<Line>> {
    let request = url.request();
    let mut held = Vec::with_capacity(connections);
    let (mut input, mut buffer) = (Vec::new(), vec![0; 20_000]);
    for number in 0..connections {
        let mut line = Line::connect_waiting(url.address, tls, Duration::from_secs(10))
            .with_context(|| format!("connection {number} to {}", url.address))?;
        line.write_all(&request)?;
        ask(&mut line, &mut input, &mut buffer).with_context(|| format!("on connection {number}"))?;
        held.push(line);
    }
    Ok(held)
}

/// Reads one answer, which must be a 200 that leaves the connection open.
fn ask(line: &mut Line, input: &mut Vec<u8>, buffer: &mut [u8]) -> Result<()> {
    input.clear();
    loop {
        let got = line.read(buffer, |bytes| {
            input.extend_from_slice(bytes);
            Ok(())
        });
        let got = got.map_err(anyhow::Error::msg)?;
        match answer::parse(input).map_err(anyhow::Error::msg)? {
            Some(answer) if answer.status == 200 && !answer.closes => return Ok(()),
            Some(answer) => bail!("not a 200 on a connection that stays open: {answer:?}"),
            None if got == Got::Something => {}
            None if got == Got::Nothing => bail!("no answer in time"),
            None => bail!("closed without an answer"),
        }
    }
}

/// How many of them the other side has not closed.
pub(crate) fn still_open(held: &[Line]) -> usize {
    let is_open = |line: &&Line| {
        let (stream, mut byte) = (line.socket(), [0]);
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
        let held = open(&Url::root(origin.address()), 20, None).unwrap();
        assert_eq!((held.len(), still_open(&held)), (20, 20));
        held[3].socket().shutdown(std::net::Shutdown::Write).unwrap();
        assert!(
            clock::until(Duration::from_secs(10), || still_open(&held) == 19),
            "the origin closes that one"
        );
        assert_eq!(each(1_000, 21_000, 20), 1_000);
    }
}
