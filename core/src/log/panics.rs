//! A panic is a defect of the gateway's own. Whichever thread it happens on, it is told in the operator's log and
//! counted; what it ends is one connection at most.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Level, say};

/// Panics of this process, since [`hear`].
static COUNT: AtomicU64 = AtomicU64::new(0);

/// How many there were.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// From now on a panic is a line of the operator's log. With `RUST_BACKTRACE=1` it holds where it came from.
pub fn hear() {
    std::panic::set_hook(Box::new(tell));
}

fn tell(info: &PanicHookInfo<'_>) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    let thread = std::thread::current();
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let mut fields: Vec<(&str, &dyn Display)> = Vec::with_capacity(4);
    let name = thread.name().unwrap_or_default();
    let message = message(info.payload());
    fields.push(("thread", &name));
    fields.push(("place", &place));
    fields.push(("panic", &message));
    if backtrace.status() == BacktraceStatus::Captured {
        fields.push(("backtrace", &backtrace));
    }
    say(
        Level::Error,
        "gateway.panicked",
        "a defect of Ringway ended what it was doing; please report it",
        &fields,
    );
}

fn message(payload: &dyn Any) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
