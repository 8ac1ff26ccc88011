//! A panic within one connection's task: the thread goes on, gauges go back, the operator is told once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "it panics on purpose")]

use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::snapshot::Driver;
use ringway_core::log::panics;
use ringway_core::net::{contain, run, sleep, spawn};
use ringway_core::shard::{Count, Reader, Shard, Writer};

/// Set in the process that panics on purpose.
const CHILD: &str = "RINGWAY_TEST_PANICS";

#[test]
fn a_panic_costs_its_task_alone_and_is_told_once() {
    if std::env::var_os(CHILD).is_some() {
        return panic_on_purpose();
    }
    // The log is standard error, and its hook the process's: a process of its own for both.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_costs_its_task_alone_and_is_told_once", "--nocapture"])
        .env(CHILD, "1")
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let told: Vec<serde_json::Value> = said
        .lines()
        .filter(|line| line.contains("gateway.panicked"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let words: Vec<&str> = told.iter().map(|line| line["panic"].as_str().unwrap()).collect();
    assert_eq!(words, ["in a task: 7", "in a part", "in a task: 7", "in a part"], "{said}");
    for line in &told {
        assert_eq!(line["level"], "error", "{line}");
        assert!(line["place"].as_str().unwrap().contains("panics.rs:"), "{line}");
    }
    assert!(!said.contains("thread '"), "told twice:\n{said}");
}

fn panic_on_purpose() {
    panics::hear();
    let mut words: Vec<u64> = Vec::new();
    for driver in [Driver::IoUring, Driver::Epoll] {
        let shard = Shard::new(16);
        let (reader, seen) = (Reader::new(Arc::clone(&shard)), Reader::new(Arc::clone(&shard)));
        let after = run(driver, |_| async {
            let counts = Rc::new(Writer::new(shard));
            let open = Rc::clone(&counts);
            spawn(async move {
                let _open = open.hold(Count::ConnectionsActive);
                sleep(Duration::from_millis(1)).await;
                assert_eq!(seen.count(Count::ConnectionsActive), 1);
                panic!("in a task: {}", 7);
            });
            let before = panics::count();
            while panics::count() == before {
                sleep(Duration::from_millis(1)).await;
            }
            contain(|| panic!("in a part"));
            counts.hold(Count::ExchangesActive)
        })
        .unwrap();
        assert_eq!(reader.count(Count::ConnectionsActive), 0);
        assert_eq!(reader.count(Count::ExchangesActive), 1);
        drop(after);
        assert_eq!(reader.count(Count::ExchangesActive), 0);
        words.push(panics::count());
    }
    assert_eq!(words, [2, 4]);
}
