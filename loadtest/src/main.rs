//! Measures a gateway binary over TCP, beside its peers, on one machine. `METHOD.md` says what the numbers mean.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the person who typed it")]

mod answer;
mod args;
mod clock;
mod compare;
mod epoll;
mod idle;
mod load;
mod machine;
mod origin;
mod process;
mod relay;
mod report;
mod targets;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use args::Args;

const HELP: &str = "\
Measures a gateway over TCP, beside its peers.

  ringway-loadtest compare [--scenario keepalive-500B-c64|idle-5000] [--only NAME] [--ringway PATH]
                           [--rounds 5] [--warm-up 2] [--seconds 5] [--connections N]
                           [--target-cpu 1] [--load-cpu 0] [--no-write]
      Starts ringway, nginx and haproxy one by one on a CPU of their own, and an origin and the load on another.
      Prints medians as Markdown and writes them to loadtest/results/. What is not installed is named and skipped.
      Without --scenario: all of them. ringway is taken from beside this binary: build it in release first.

  ringway-loadtest load --url URL [--pid PID] [--connections 64] [--warm-up 2] [--seconds 10] [--length BYTES]
      A closed loop of GETs against a running gateway; with its pid, also its CPU time per request.

  ringway-loadtest idle --url URL [--pid PID] [--connections 5000] [--hold SECONDS]
      Opens connections, makes one request on each, and leaves them idle; with a pid, memory per connection.

  ringway-loadtest relay --file FILE [--driver ring|epoll]
      The floor that compare shows: copies bytes; the file holds the address to listen on and that of the origin.
      Without --driver: a ring, or epoll where the kernel refuses one.

  ringway-loadtest origin [--port 0] [--length 500]
      An origin that answers every GET with 200 and a body of that length, until it is stopped.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_else(|| "--help".to_owned());
    let rest: Vec<String> = words.collect();
    if verb == "--help" || verb == "help" || rest.iter().any(|word| word == "--help") {
        print!("{HELP}");
        return Ok(());
    }
    if verb == "--version" {
        println!("ringway-loadtest {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let mut args = Args::parse(rest)?;
    process::raise_descriptor_limit()?;
    match verb.as_str() {
        "compare" => compare::run(args),
        "load" => load_verb(&mut args),
        "idle" => idle_verb(&mut args),
        "origin" => origin_verb(&mut args),
        "relay" => relay_verb(&mut args),
        other => bail!("unknown verb `{other}`, known: compare, load, idle, origin, relay (see --help)"),
    }
}

fn load_verb(args: &mut Args) -> Result<()> {
    let url = args.url()?;
    let plan = load::Plan {
        connections: args.number("connections", 64)?,
        warm_up: args.seconds("warm-up", 2.0)?,
        window: args.seconds("seconds", 10.0)?,
        length: args.optional_number("length")?,
    };
    let pid = args.optional_number("pid")?;
    args.finish()?;
    let outcome = load::run(&url, &plan, pid)?;
    println!(
        "{} requests, {:.0} per second, {} errors",
        outcome.requests,
        outcome.per_second(),
        outcome.errors.total()
    );
    for (why, count) in outcome.errors.iter() {
        println!("  {count} x {why}");
    }
    if let (Some(cpu), Some(busy), Some(waited)) =
        (outcome.cpu_per_request(), outcome.busy_percent(), outcome.waited_percent())
    {
        println!("{cpu:.0} ns of CPU per request; busy {busy:.0} %, waited {waited:.0} %");
    }
    ensure!(outcome.errors.total() == 0, "some requests failed: these numbers do not count");
    Ok(())
}

fn idle_verb(args: &mut Args) -> Result<()> {
    let url = args.url()?;
    let connections = args.number("connections", 5000)?;
    let pid: Option<u32> = args.optional_number("pid")?;
    let stay = args.seconds("hold", 0.0)?;
    args.finish()?;
    let before = pid.map(idle::settled_memory).transpose()?;
    let held = idle::open(&url, connections)?;
    println!("{} connections are open and idle", held.len());
    if let (Some(pid), Some(before)) = (pid, before) {
        let after = idle::settled_memory(pid)?;
        println!(
            "resident: {before} bytes before, {after} after, {} per connection",
            idle::each(before, after, held.len())
        );
    }
    clock::wait(stay);
    println!("{} of them are still open", idle::still_open(&held));
    Ok(())
}

fn origin_verb(args: &mut Args) -> Result<()> {
    let port: u16 = args.number("port", 0)?;
    let length = args.number("length", 500)?;
    args.finish()?;
    let origin = origin::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), length)?;
    println!("http://{} answers with {length} bytes", origin.address());
    origin.join()
}

fn relay_verb(args: &mut Args) -> Result<()> {
    let file = args.text("file")?.context("--file is needed")?;
    let driver = relay::Driver::choose(args.text("driver")?.as_deref())?;
    args.finish()?;
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    let (listen, to) = text.trim().split_once(' ').context("two addresses are needed")?;
    println!("relays by {}", driver.name());
    relay::run(driver, &TcpListener::bind(listen)?, to.parse()?)
}
