//! What is done to a target each second, beside the load.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use crate::clock;
use crate::configuration;
use crate::targets::{Started, Variant};

/// Something that happens each second, until it is stopped.
#[derive(Debug)]
pub(crate) struct Beside {
    stops: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

/// What a variant wants to be done, for the first time after a while; none: nothing.
pub(crate) fn start(variant: Variant, started: &Started, first: Duration) -> Result<Option<Beside>> {
    match variant {
        Variant::Scraped => {
            let metrics = started.place.metrics;
            every_second(first, move |_| scrape(metrics)).map(Some)
        }
        Variant::Reloaded => {
            let file = started.place.folder.join("configuration");
            let text = fs::read_to_string(&file)?;
            let pid = started.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
            let pid = pid.context("no process to reload")?;
            let reload = move |turn| {
                fs::write(&file, configuration::changed(&text, turn))?;
                Ok(rustix::process::kill_process(pid, Signal::HUP)?)
            };
            every_second(first, reload).map(Some)
        }
        Variant::Plain | Variant::Routes | Variant::AccessLog | Variant::TwoWorkers | Variant::Unbuffered => {
            Ok(None)
        }
    }
}

fn every_second(first: Duration, mut act: impl FnMut(u64) -> Result<()> + Send + 'static) -> Result<Beside> {
    let stops = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stops);
    let work = move || -> Result<u64> {
        let mut turns = 0;
        let mut pause = first;
        while !clock::until(pause, || stopped.load(Ordering::Relaxed)) {
            act(turns)?;
            turns += 1;
            pause = Duration::from_secs(1);
        }
        Ok(turns)
    };
    let thread = std::thread::Builder::new().name("beside".to_owned()).spawn(work)?;
    Ok(Beside { stops, thread })
}

impl Beside {
    /// How often it happened; an error, if it failed or never happened.
    pub(crate) fn stop(self) -> Result<u64> {
        self.stops.store(true, Ordering::Relaxed);
        let turns = self.thread.join().ok().context("the thread has panicked")??;
        ensure!(turns > 0, "the window is too short for what happens each second");
        Ok(turns)
    }
}

/// Asks for the metrics and reads them to the end.
fn scrape(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).context("metrics")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    ensure!(text.starts_with(b"HTTP/1.1 200"), "metrics: not a 200");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    const FIRST: Duration = Duration::from_millis(500);

    #[test]
    fn what_is_to_happen_each_second_happens_and_its_failure_shows() {
        let beside = every_second(FIRST, |_| Ok(())).unwrap();
        clock::wait(Duration::from_millis(1_700));
        assert_eq!(beside.stop().unwrap(), 2);
        assert!(every_second(FIRST, |_| Ok(())).unwrap().stop().is_err(), "it never happened");
        let beside = every_second(FIRST, |_| anyhow::bail!("no")).unwrap();
        clock::wait(Duration::from_millis(700));
        assert!(beside.stop().is_err());
    }

    #[test]
    fn metrics_must_be_a_200() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            for status in [200, 503] {
                let mut stream = listener.accept().unwrap().0;
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(format!("HTTP/1.1 {status} Word\r\n\r\nup 1\n").as_bytes()).unwrap();
            }
        };
        let thread = std::thread::Builder::new().spawn(serve).unwrap();
        scrape(address).unwrap();
        assert!(scrape(address).is_err());
        thread.join().unwrap();
        assert!(scrape(address).is_err(), "nobody is there");
    }
}
