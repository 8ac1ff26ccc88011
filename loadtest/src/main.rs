//! Measures a gateway binary over TCP, beside its peers, on one machine. `METHOD.md` says what the numbers mean.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the person who typed it")]

mod answer;
mod args;
mod bench;
mod beside;
mod body;
mod chart;
mod clock;
mod compare;
mod configuration;
mod crosscheck;
mod epoll;
mod gateway;
mod h2;
mod idle;
mod lane;
mod line;
mod load;
mod machine;
mod message;
mod open;
mod origin;
mod process;
mod relay;
mod report;
mod rounds;
mod scenario;
mod stats;
mod syscalls;
mod targets;
mod tls;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use args::{Args, Url};
use wire::Wire;

const HELP: &str = include_str!("help.txt");

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
        "crosscheck" => compare::crosscheck(args),
        "chart" => chart_verb(&args),
        "load" => load_verb(&mut args),
        "idle" => idle_verb(&mut args),
        "origin" => origin_verb(&mut args),
        "relay" => relay_verb(&mut args),
        other => {
            bail!(
                "unknown verb `{other}`, known: compare, crosscheck, chart, load, idle, origin, relay (see --help)"
            )
        }
    }
}

/// What a gateway that runs already is spoken to in.
fn wire(url: &Url, streams: usize) -> Wire {
    Wire { streams, ..if url.is_tls { Wire::TLS } else { Wire::PLAIN } }
}

fn chart_verb(args: &Args) -> Result<()> {
    args.finish()?;
    println!("written to {}", chart::draw(&report::results())?.display());
    Ok(())
}

fn load_verb(args: &mut Args) -> Result<()> {
    let url = args.url()?;
    if let Some(rate) = args.optional_number("rate")? {
        ensure!(!url.is_tls, "--rate: only of http://");
        return open_loop(args, &url, rate);
    }
    let mut plan = load::Plan {
        connections: args.number("connections", 64)?,
        posts: 0,
        paths: Vec::new(),
        reuse: true,
        length: args.optional_number("length")?,
        streams: args.number("streams", 0)?,
        grpc: args.switch("grpc"),
        tls: None,
    };
    if plan.grpc {
        ensure!(plan.streams > 0, "--grpc: needs --streams");
        plan.posts = plan.length.unwrap_or(100);
    }
    plan.tls = wire(&url, plan.streams).client()?;
    let warm_up = args.seconds("warm-up", 2.0)?;
    let timing = bench::Timing { warm_up, window: args.seconds("seconds", 10.0)?, spins: false };
    let pid = args.optional_number("pid")?;
    args.finish()?;
    let family = pid.map(process::Family::of).transpose()?;
    let outcome = bench::run(&url, &plan, &timing, None, family.as_ref())?;
    let errors = outcome.tally.errors.total();
    println!(
        "{} requests, {:.0} per second, {errors} errors; the load was busy {:.0} %",
        outcome.tally.requests,
        outcome.per_second(),
        outcome.load_busy_percent()
    );
    for (why, count) in outcome.tally.errors.iter() {
        println!("  {count} x {why}");
    }
    if let (Some(cpu), Some(busy), Some(waited)) =
        (outcome.cpu_per_request(), outcome.busy_percent(), outcome.waited_percent())
    {
        println!("{:.2} us of CPU per request; busy {busy:.0} %, waited {waited:.0} %", cpu * 1e6);
    }
    ensure!(errors == 0, "some requests failed: these numbers do not count");
    Ok(())
}

fn open_loop(args: &mut Args, url: &Url, rate: u64) -> Result<()> {
    let plan = open::Plan {
        connections: args.number("connections", 64)?,
        pace: open::Pace::Rate(rate),
        length: args.optional_number("length")?,
        warm_up: args.seconds("warm-up", 2.0)?,
        window: args.seconds("seconds", 10.0)?,
    };
    let pid = args.optional_number("pid")?;
    args.finish()?;
    let family = pid.map(process::Family::of).transpose()?;
    let outcome = open::run(url, &plan, None, family.as_ref())?;
    print!("{outcome}");
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
    let held = idle::open(&url, connections, wire(&url, 0).client()?.as_ref())?;
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
    let terms = origin::Terms { answer: length, request: None, grpc: args.switch("grpc") };
    args.finish()?;
    let origin = origin::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), terms)?;
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
    relay::run(driver, &origin::listen(listen.parse()?)?, to.parse()?)
}
