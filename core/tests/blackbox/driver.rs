//! Which driver runs, on a machine that forbids `io_uring` as the default seccomp profiles of containers do: the same
//! filter, put around the binary alone.
#![expect(unsafe_code, reason = "the filter has to be set between fork and exec")]

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;

use crate::support::{Client, Gateway, Origin, fresh_dir, listens, own_address, proxying};

/// The same number on every architecture.
const IO_URING_SETUP: u32 = 425;

/// The gateway's binary, to be started under a filter that answers `io_uring_setup` with this error.
fn without_io_uring(errno: i32) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    // SAFETY: `forbid_io_uring` makes system calls only, allocates nothing and takes no lock, as is demanded between
    // fork and exec.
    unsafe { command.pre_exec(move || forbid_io_uring(errno.cast_unsigned())) };
    command
}

fn forbid_io_uring(errno: u32) -> std::io::Result<()> {
    let code = |parts: u32| u16::try_from(parts).unwrap_or_default();
    let step = |parts, jf, k| libc::sock_filter { code: code(parts), jt: 0, jf, k };
    let mut steps = [
        // `seccomp_data` begins with the system call's number.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, IO_URING_SETUP),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
    // SAFETY: takes no pointer.
    let mut result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result == 0 {
        // SAFETY: the program and its four steps live until the kernel has copied them, within the call.
        result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    }
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A file with this driver, two workers, a metrics page and one route.
fn file(driver: &str, origin: &Origin) -> String {
    format!(
        "[server]\ndriver = \"{driver}\"\nworkers = 2\n[metrics]\nbind = \"GATEWAY:9090\"\n{}",
        proxying(origin)
    )
}

/// Starts with a driver, under the filter.
fn filtered(errno: i32, address: Ipv4Addr, driver: &str, origin: &Origin) -> Gateway {
    Gateway::spawn_as(without_io_uring(errno), &fresh_dir(), address, &file(driver, origin))
}

/// What the first line of the operator's log says.
fn first_line(gateway: &Gateway) -> Value {
    gateway.line_with(&["gateway.started"]);
    let errors = std::fs::read_to_string(gateway.dir().join("stderr")).unwrap();
    serde_json::from_str(errors.lines().next().unwrap()).unwrap()
}

/// That the gateway says in log and metrics that it runs on this driver, and that it serves.
fn serves_on(gateway: &Gateway, driver: &str, origin: &Origin) -> Value {
    let first = first_line(gateway);
    assert_eq!((&first["event"], &first["driver"]), (&"gateway.started".into(), &driver.into()), "{first}");
    for nth in 1..=8 {
        assert_eq!(gateway.client().get("/").text(), "through", "request {nth}");
    }
    assert_eq!(origin.requests(), 8);
    let page = Client::connect(gateway.at(9090)).get("/metrics");
    let drivers: Vec<&str> =
        page.text().lines().filter(|line| line.starts_with("ringway_driver_info{")).collect();
    let [info] = drivers[..] else { panic!("not one driver: {drivers:?}") };
    assert!(info.contains(&format!("driver=\"{driver}\"")) && info.ends_with(" 1"), "{info}");
    first
}

#[test]
fn a_forbidden_io_uring_is_a_refusal_that_names_cause_and_way_out() {
    let origin = Origin::saying("through");
    for (errno, cause) in [(libc::EPERM, "seccomp"), (libc::ENOSYS, "5.11"), (libc::ENOMEM, "RLIMIT_MEMLOCK")]
    {
        let address = own_address();
        let mut gateway = filtered(errno, address, "io_uring", &origin);
        let status = gateway.wait();
        assert!(status.code().is_some_and(|code| code != 0), "{status}");
        let said = gateway.output();
        for word in ["io_uring cannot be used", cause, "driver = \"auto\" or \"epoll\""] {
            assert!(said.contains(word), "no {word} in:\n{said}");
        }
        assert!(!said.contains("gateway.started") && !said.contains("panicked"), "{said}");
        for port in [8080, 9090] {
            assert!(!listens((address, port).into()), "port {port} is left listening");
        }
    }
}

#[test]
fn epoll_is_not_used_unless_it_is_allowed() {
    let origin = Origin::saying("through");
    // The comment keeps the suite's own choice of a driver out of the file.
    let config = file("io_uring", &origin).replace("driver = \"io_uring\"", "# driver = nothing");
    let mut gateway = Gateway::spawn_as(without_io_uring(libc::EPERM), &fresh_dir(), own_address(), &config);
    assert_eq!(gateway.wait().code(), Some(1), "{}", gateway.output());
    gateway.line_with(&["io_uring cannot be used"]);
}

#[test]
fn auto_runs_on_epoll_where_io_uring_is_forbidden_and_says_why() {
    let origin = Origin::saying("through");
    let mut gateway = filtered(libc::EPERM, own_address(), "auto", &origin);
    gateway.wait_until_listening();
    serves_on(&gateway, "epoll", &origin);
    let warning = gateway.line_with(&["config.warning", "io_uring cannot be used"]);
    assert!(warning.contains("seccomp"), "{warning}");
}

#[test]
fn auto_runs_on_io_uring_where_it_is_allowed() {
    let origin = Origin::saying("through");
    let gateway = Gateway::start(&file("auto", &origin));
    let first = serves_on(&gateway, "io_uring", &origin);
    assert_ne!(first["flags"], "", "{first}");
}

#[test]
fn epoll_runs_because_it_was_asked_for_and_warns_of_nothing() {
    let origin = Origin::saying("through");
    let gateway = Gateway::start(&file("epoll", &origin));
    serves_on(&gateway, "epoll", &origin);
    assert!(!gateway.output().contains("io_uring cannot be used"), "{}", gateway.output());
    let mut filtered = filtered(libc::EPERM, own_address(), "epoll", &Origin::saying("through"));
    filtered.wait_until_listening();
    assert_eq!(first_line(&filtered)["driver"], "epoll");
}

#[test]
fn the_shipped_profile_allows_the_ring_and_forbids_by_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/seccomp.json");
    let profile: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let rules = profile["syscalls"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["action"] == "SCMP_ACT_ALLOW"));
    let names: Vec<&str> =
        rules.iter().flat_map(|rule| rule["names"].as_array().unwrap()).filter_map(Value::as_str).collect();
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register", "openat2", "sched_setaffinity"] {
        assert!(names.contains(&call), "{call}");
    }
    for call in ["ptrace", "mount", "bpf", "init_module", "kexec_load", "reboot"] {
        assert!(!names.contains(&call), "{call}");
    }
}
