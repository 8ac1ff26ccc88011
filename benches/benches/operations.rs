//! The time of each operation whose instructions are budgeted.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ringway_benches::operations::ALL;

fn operations(c: &mut Criterion) {
    let mut group = c.benchmark_group("operation");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for operation in ALL {
        let made = (operation.make)();
        assert!(made.is_ok(), "{}: {:?}", operation.name, made.err());
        let Ok(mut step) = made else { continue };
        group.bench_function(operation.name, |b| b.iter(&mut step));
    }
    group.finish();
}

criterion_group!(benches, operations);
criterion_main!(benches);
