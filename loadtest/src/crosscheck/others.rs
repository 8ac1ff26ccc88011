//! Other people's load generators: how each is told what to do, and what it says of it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A generator that may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    Wrk,
    Oha,
}

/// What a generator found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// Microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) errors: u64,
}

impl Other {
    pub(super) const ALL: [Self; 2] = [Self::Wrk, Self::Oha];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Oha => "oha",
        }
    }

    /// Whether it is there.
    pub(super) fn is_found(self) -> bool {
        // wrk knows no flag that ends well; that it could be started is what counts.
        let mut command = Command::new(self.name());
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    }

    /// A closed loop on one thread.
    pub(super) fn run(self, url: &str, connections: usize, window: Duration) -> Result<Found> {
        let seconds = format!("{}s", window.as_secs().max(1));
        let connections = connections.to_string();
        let mut command = Command::new(self.name());
        match self {
            Self::Wrk => command.args(["-t", "1", "-c", &connections, "-d", &seconds, "--latency", url]),
            Self::Oha => command
                .args(["-c", &connections, "-z", &seconds, "--no-tui", "--output-format", "json", url])
                .env("TOKIO_WORKER_THREADS", "1"),
        };
        let output = command.stdin(Stdio::null()).output().with_context(|| self.name())?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{} failed: {text}", self.name());
        match self {
            Self::Wrk => wrk(&text),
            Self::Oha => oha(&text),
        }
        .with_context(|| format!("{} said something else than expected:\n{text}", self.name()))
    }
}

/// What wrk prints with `--latency`.
fn wrk(text: &str) -> Option<Found> {
    let value = |title: &str| {
        let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(title));
        lines.next().map(str::trim)
    };
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "))?.0.parse().ok()?;
    let sockets: u64 = value("Socket errors:").map_or(Some(0), |list| {
        list.split(", ").map(|part| part.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
    })?;
    let statuses = value("Non-2xx or 3xx responses:").map_or(Some(0), |count| count.parse::<u64>().ok())?;
    Some(Found {
        requests,
        per_second: value("Requests/sec:")?.parse().ok()?,
        p50: micros(value("50%")?)?,
        p99: micros(value("99%")?)?,
        errors: sockets + statuses,
    })
}

/// A time as wrk writes it.
fn micros(text: &str) -> Option<f64> {
    // The longest unit that fits: `ms` ends in `s` as well.
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// What oha writes as JSON, in seconds.
fn oha(text: &str) -> Option<Found> {
    let json: Value = serde_json::from_str(text).ok()?;
    let number = |path: &str| json.pointer(path)?.as_f64();
    let counts = |path: &str, counts: fn(&str) -> bool| {
        let all = json.pointer(path).and_then(Value::as_object).into_iter().flatten();
        all.filter(|(name, _)| counts(name)).filter_map(|(_, count)| count.as_u64()).sum::<u64>()
    };
    // What is under way at the end is given up, and is listed among the errors.
    let failed = counts("/errorDistribution", |why| why != "aborted due to deadline");
    Some(Found {
        requests: counts("/statusCodeDistribution", |status| status == "200"),
        per_second: number("/summary/requestsPerSec")?,
        p50: number("/latencyPercentiles/p50")? * 1e6,
        p99: number("/latencyPercentiles/p99")? * 1e6,
        errors: failed + counts("/statusCodeDistribution", |status| status != "200"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   626.31us   91.02us   2.31ms   85.15%
    Req/Sec   102.31k     2.11k  105.11k    70.00%
  Latency Distribution
     50%  610.00us
     75%  661.00us
     90%  726.00us
     99%    1.25ms
  203640 requests in 2.00s, 130.12MB read
Requests/sec: 101820.12
Transfer/sec:     65.06MB
";

    #[test]
    fn wrk_is_understood() {
        let expected =
            Found { requests: 203_640, per_second: 101_820.12, p50: 610.0, p99: 1_250.0, errors: 0 };
        assert_eq!(wrk(WRK), Some(expected));
        let ill = WRK.replace(
            "Requests/sec",
            "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n\
             Requests/sec",
        );
        assert_eq!(wrk(&ill), Some(Found { errors: 54_321, ..expected }));
        assert_eq!(wrk(&WRK.replace("50%", "51%")), None);
        assert_eq!(wrk("unable to connect to 127.0.0.1:1 Connection refused"), None);
    }

    #[test]
    fn times_of_wrk_have_units() {
        for (text, expected) in [
            ("65.00us", Some(65.0)),
            ("1.32ms", Some(1_320.0)),
            ("1.50s", Some(1.5e6)),
            ("2.00m", Some(120e6)),
            ("7", None),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
    }

    #[test]
    fn oha_is_understood() {
        let text = r#"{
            "summary": {"successRate": 1.0, "total": 2.0, "requestsPerSec": 50000.5},
            "latencyPercentiles": {"p50": 0.0012, "p99": 0.0034},
            "statusCodeDistribution": {"200": 100000, "503": 2},
            "errorDistribution": {"aborted due to deadline": 64, "connection refused": 1}
        }"#;
        let found = oha(text).unwrap();
        assert_eq!((found.requests, found.errors), (100_000, 3));
        let near = |value: f64, expected: f64| (value - expected).abs() < 1e-6;
        assert!(near(found.per_second, 50_000.5) && near(found.p50, 1_200.0) && near(found.p99, 3_400.0));
        assert!(oha("{}").is_none() && oha("no JSON").is_none());
    }
}
