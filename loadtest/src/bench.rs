//! One measurement: the load and its origin turned by this thread, a window in which requests and CPU time are counted.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::Result;

use crate::args::Url;
use crate::clock;
use crate::epoll::Epoll;
use crate::h2;
use crate::load::{Errors, Load, Plan, Tally};
use crate::origin::Origin;
use crate::process::{CpuTime, Family};

/// How a measurement is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Before the window opens.
    pub(crate) warm_up: Duration,
    /// While requests and CPU time are counted.
    pub(crate) window: Duration,
    /// Whether this thread asks again and again for work, rather than sleeps until there is some.
    pub(crate) spins: bool,
}

/// What came of it, within the window; errors also before.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Requests that were answered before the window.
    pub(crate) warmed: u64,
    pub(crate) window: Duration,
    /// Of the window, without anything to do for the load and the origin.
    idle: Duration,
    /// CPU time of the measured processes, if there are any.
    pub(crate) cpu: Option<CpuTime>,
}

/// A run that has begun.
pub(crate) struct Bench<'p> {
    load: Clients<'p>,
    origin: Option<&'p mut Origin>,
    /// Both sets, to sleep on.
    both: Epoll,
    spins: bool,
}

/// The load, in either protocol.
enum Clients<'p> {
    Http1(Load<'p>),
    H2(h2::Load<'p>),
}

impl<'p> Clients<'p> {
    fn open(url: &'p Url, plan: &'p Plan) -> Result<Self> {
        if plan.streams > 0 {
            return h2::Load::open(url, plan).map(Self::H2);
        }
        Load::open(url, plan).map(Self::Http1)
    }

    fn turn(&mut self, limit: Duration) -> Result<usize> {
        match self {
            Self::Http1(load) => load.turn(limit),
            Self::H2(load) => load.turn(limit),
        }
    }

    fn tally(&self) -> &Tally {
        match self {
            Self::Http1(load) => &load.tally,
            Self::H2(load) => &load.tally,
        }
    }

    fn tally_mut(&mut self) -> &mut Tally {
        match self {
            Self::Http1(load) => &mut load.tally,
            Self::H2(load) => &mut load.tally,
        }
    }
}

impl AsFd for Clients<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Http1(load) => load.as_fd(),
            Self::H2(load) => load.as_fd(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.tally.requests as f64 / self.window.as_secs_f64()
    }

    /// Seconds of CPU per request.
    pub(crate) fn cpu_per_request(&self) -> Option<f64> {
        let cpu = self.cpu.filter(|_| self.tally.requests > 0)?;
        Some(cpu.ran.as_secs_f64() / self.tally.requests as f64)
    }

    /// Seconds of CPU per GiB of bodies.
    pub(crate) fn cpu_per_gib(&self) -> Option<f64> {
        let cpu = self.cpu.filter(|_| self.tally.bytes > 0)?;
        Some(cpu.ran.as_secs_f64() / self.gib())
    }

    pub(crate) fn gib_per_second(&self) -> f64 {
        self.gib() / self.window.as_secs_f64()
    }

    fn gib(&self) -> f64 {
        self.tally.bytes as f64 / (1024.0 * 1024.0 * 1024.0)
    }

    /// How many of the requests resumed a TLS session, where each had a connection of its own.
    pub(crate) fn resumed_percent(&self) -> Option<f64> {
        (self.tally.requests > 0).then(|| self.tally.resumed as f64 * 100.0 / self.tally.requests as f64)
    }

    /// How much of one CPU the processes used.
    pub(crate) fn busy_percent(&self) -> Option<f64> {
        Some(self.percent(self.cpu?.ran))
    }

    /// How much of the window the processes would have run, had others not had the CPU.
    pub(crate) fn waited_percent(&self) -> Option<f64> {
        Some(self.percent(self.cpu?.waited))
    }

    /// How much of the window the load and the origin had something to do.
    pub(crate) fn load_busy_percent(&self) -> f64 {
        self.percent(self.window.saturating_sub(self.idle))
    }

    fn percent(&self, part: Duration) -> f64 {
        part.as_secs_f64() * 100.0 / self.window.as_secs_f64()
    }
}

impl<'p> Bench<'p> {
    /// Opens the connections.
    pub(crate) fn open(
        url: &'p Url,
        plan: &'p Plan,
        mut origin: Option<&'p mut Origin>,
        spins: bool,
    ) -> Result<Self> {
        let (load, both) = (Clients::open(url, plan)?, Epoll::new()?);
        both.add(load.as_fd(), 0)?;
        if let Some(origin) = origin.as_mut() {
            both.add(origin.as_fd(), 1)?;
        }
        Ok(Self { load, origin, both, spins })
    }

    /// Turns for a while. How much of it there was nothing to do.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Duration> {
        let start = clock::now();
        let (mut now, mut idle, mut ready) = (start, Duration::ZERO, Vec::new());
        loop {
            let mut count = self.load.turn(Duration::ZERO)?;
            if let Some(origin) = self.origin.as_mut() {
                count += origin.turn(Duration::ZERO)?;
            }
            if count == 0 && !self.spins {
                self.both.wait(Duration::from_millis(20), &mut ready)?;
            }
            let before = std::mem::replace(&mut now, clock::now());
            if count == 0 {
                idle += now - before;
            }
            if now - start >= time {
                return Ok(idle);
            }
        }
    }

    /// Requests that have been answered since the last time.
    pub(crate) fn take_requests(&mut self) -> u64 {
        std::mem::take(&mut self.load.tally_mut().requests)
    }

    /// What went wrong since it began.
    pub(crate) fn errors(&self) -> &Errors {
        &self.load.tally().errors
    }

    /// Opens a window and closes it.
    pub(crate) fn measure(mut self, timing: &Timing, family: Option<&Family>) -> Result<Outcome> {
        self.run(timing.warm_up)?;
        let warmed = self.take_requests();
        let tally = self.load.tally_mut();
        (tally.bytes, tally.resumed) = (0, 0);
        let before = family.map(Family::cpu_time).transpose()?;
        let start = clock::now();
        let idle = self.run(timing.window)?;
        let window = start.elapsed();
        let after = family.map(Family::cpu_time).transpose()?;
        let cpu = before.zip(after).map(|(before, after)| after.since(before));
        let tally = std::mem::take(self.load.tally_mut());
        Ok(Outcome { tally, warmed, window, idle, cpu })
    }
}

/// One whole measurement.
pub(crate) fn run(
    url: &Url,
    plan: &Plan,
    timing: &Timing,
    origin: Option<&mut Origin>,
    family: Option<&Family>,
) -> Result<Outcome> {
    Bench::open(url, plan, origin, timing.spins)?.measure(timing, family)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::origin::Terms;

    fn outcome(plan: &Plan, terms: Terms, spins: bool) -> Result<Outcome> {
        let mut origin = Origin::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), terms).unwrap();
        let (url, time) = (Url::root(origin.address), Duration::from_millis(50));
        let timing = Timing { warm_up: time, window: time, spins };
        run(&url, plan, &timing, Some(&mut origin), Some(&Family::alone(std::process::id())))
    }

    #[test]
    fn every_shape_of_request_is_answered_and_counted() {
        for (answer, posts, reuse) in [
            (500, 0, true),
            (500, 0, false),
            (0, 4096, true),
            (64 * 1024, 0, true),
            (5_000_000, 0, true),
            (500, 3_000_000, true),
        ] {
            for spins in [true, false] {
                let plan = Plan {
                    connections: 3,
                    posts,
                    paths: Vec::new(),
                    reuse,
                    length: Some(answer),
                    ..Plan::default()
                };
                let terms = Terms { answer, request: Some(posts), grpc: false };
                let outcome = outcome(&plan, terms, spins).unwrap();
                assert!(outcome.tally.requests > 0, "{answer} {posts} {reuse}: {outcome:?}");
                assert_eq!(outcome.tally.errors.total(), 0, "{answer} {posts} {reuse}: {outcome:?}");
                // How much it was is another test's: here threads of other tests end, and take their time away.
                assert!(outcome.cpu_per_request().is_some());
                // What is under way at either end of the window counts by its bytes, not as a request.
                let bytes = u64::try_from(answer + posts).unwrap();
                assert!(outcome.tally.bytes + 3 * bytes >= outcome.tally.requests * bytes, "{outcome:?}");
            }
        }
    }

    #[test]
    fn http_2_is_answered_and_counted_too() {
        for (answer, posts, grpc) in [(500, 0, false), (0, 4096, false), (40_000, 0, false), (100, 100, true)]
        {
            let plan = Plan {
                connections: 3,
                posts,
                reuse: true,
                length: Some(answer),
                streams: 8,
                grpc,
                ..Plan::default()
            };
            let outcome = outcome(&plan, Terms { answer, request: Some(posts), grpc }, false).unwrap();
            let requests = outcome.warmed + outcome.tally.requests;
            assert!(requests > 24 && outcome.tally.errors.total() == 0, "{outcome:?}");
            let bytes = u64::try_from(answer).unwrap();
            assert!(outcome.tally.bytes + 24 * (bytes + 5) >= outcome.tally.requests * bytes, "{outcome:?}");
        }
    }

    #[test]
    fn more_connections_can_wait_than_are_accepted_at_once() {
        let plan = Plan {
            connections: 300,
            posts: 0,
            paths: Vec::new(),
            reuse: true,
            length: Some(5),
            ..Plan::default()
        };
        let outcome = outcome(&plan, Terms { answer: 5, request: None, grpc: false }, true).unwrap();
        let requests = outcome.warmed + outcome.tally.requests;
        assert!(requests > 300 && outcome.tally.errors.total() == 0, "{outcome:?}");
    }

    #[test]
    fn only_answers_as_they_should_be_are_counted() {
        for (wanted, posts, streams) in [(501, 0, 0), (500, 10, 0), (501, 0, 2), (500, 10, 2)] {
            let plan = Plan {
                streams,
                connections: 4,
                posts,
                paths: Vec::new(),
                reuse: true,
                length: Some(wanted),
                ..Plan::default()
            };
            let outcome = outcome(&plan, Terms { answer: 500, request: Some(0), grpc: false }, true);
            let (counted, refused) = match &outcome {
                Ok(outcome) => (outcome.tally.requests, outcome.tally.errors.total()),
                Err(_) => (0, 1),
            };
            assert!(counted == 0 && refused > 0, "{outcome:?}");
        }
    }
}
