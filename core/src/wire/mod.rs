//! The two ways on which an exchange meets a peer: a socket of its own, or one stream of a connection that carries
//! many.
//!
//! An [`Inlet`] gives bytes and an [`Outlet`] takes them, whatever is below. On a socket they are the connection's
//! bytes, with heads and framing among them; on a stream they are a body's bytes alone, and heads and trailers go
//! beside them as what they are. `pump` moves the bytes of the connections that carry streams.

mod inlet;
mod outlet;
mod pump;
mod stream;

use ringway_config::snapshot::Limits;
use ringway_http::h2::{GuardLimits, Settings};

pub(crate) use inlet::Inlet;
pub(crate) use outlet::{Outlet, close};
pub(crate) use pump::{Broken, Pump};
pub(crate) use stream::{NoHead, accepted, open, unopened};

/// What a client may do on a connection of many streams.
pub(crate) fn settings(limits: &Limits) -> Settings {
    let control = limits.http2.control_frames_max;
    let guard = GuardLimits {
        resets_max: limits.http2.resets_max,
        // Of all frames that carry nothing, each kind has its share: what a client has reason to send most, the most.
        window_updates_max: control / 2,
        ignored_max: control / 4,
        pings_max: control / 10,
        empty_data_max: control / 20,
        settings_max: control / 40,
        ..GuardLimits::default()
    };
    let streams_max = limits.http2.streams_max;
    Settings { streams_max, guard, ..Settings::default() }.with_heads(&limits.head)
}
