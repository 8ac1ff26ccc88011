//! The guard: counts the frames of a peer that cost it nothing, before the library looks at them.
//!
//! It reads frame headers only (RFC 9113, 4.1), however the bytes are split. What is counted starts anew after each
//! [`GuardLimits::window`]; a burst at a border may thus be twice a limit.

use std::time::Duration;

/// What a client sends before its first frame.
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame's header.
const HEADER_BYTES: usize = 9;
/// On `DATA`: the stream ends here.
const END_STREAM: u8 = 0x1;
/// On `PING` and `SETTINGS`: it is an answer.
const ACK: u8 = 0x1;
/// A `PING` frame, and so its answer.
const PING_BYTES: u64 = 17;
/// The answer to a `SETTINGS` frame.
const SETTINGS_ACK_BYTES: u64 = 9;
/// On `CONTINUATION`: the block ends here.
const END_HEADERS: u8 = 0x4;
/// On `DATA`: it may be padding alone.
const PADDED: u8 = 0x8;
/// The longest frame that a padded one without data can be.
const PADDING_BYTES_MAX: usize = 256;

/// What a peer may send of frames that carry nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardLimits {
    /// How long is counted before counting starts anew.
    pub window: Duration,
    /// `RST_STREAM` frames, besides one for every second header block: opening streams and giving them up at once
    /// makes work and never meets the limit of open ones (rapid reset).
    pub resets_max: u32,
    /// `SETTINGS` frames, acknowledgements included: each asks for an answer.
    pub settings_max: u32,
    /// `PING` frames, besides one for each [`GuardLimits::sent_bytes_per_frame`]: each asks for an answer.
    pub pings_max: u32,
    /// `PRIORITY` frames and those of unknown types, besides one for each header block.
    pub ignored_max: u32,
    /// `DATA` frames that hold no data and do not end their stream.
    pub empty_data_max: u32,
    /// `WINDOW_UPDATE` frames, besides one for each [`GuardLimits::sent_bytes_per_frame`].
    pub window_updates_max: u32,
    /// For so many bytes that this end has sent, acknowledgements left out, the peer may have answered with one more
    /// frame.
    pub sent_bytes_per_frame: u32,
    /// `CONTINUATION` frames of one header block.
    pub continuations_max: u32,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            resets_max: 200,
            settings_max: 50,
            pings_max: 200,
            ignored_max: 500,
            empty_data_max: 100,
            window_updates_max: 1000,
            sent_bytes_per_frame: 8,
            continuations_max: 6,
        }
    }
}

/// A limit of [`GuardLimits`] was exceeded. The connection ends with `ENHANCE_YOUR_CALM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flood {
    /// [`GuardLimits::resets_max`].
    #[error("too many streams reset by the peer")]
    Resets,
    /// [`GuardLimits::settings_max`].
    #[error("too many SETTINGS frames")]
    Settings,
    /// [`GuardLimits::pings_max`].
    #[error("too many PING frames")]
    Pings,
    /// [`GuardLimits::ignored_max`].
    #[error("too many PRIORITY or unknown frames")]
    Ignored,
    /// [`GuardLimits::empty_data_max`].
    #[error("too many empty DATA frames")]
    EmptyData,
    /// [`GuardLimits::window_updates_max`].
    #[error("too many WINDOW_UPDATE frames")]
    WindowUpdates,
    /// [`GuardLimits::continuations_max`].
    #[error("too many CONTINUATION frames in one header block")]
    Continuations,
}

impl Flood {
    /// The reason word, such as `h2.flood.resets`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Resets => "h2.flood.resets",
            Self::Settings => "h2.flood.settings",
            Self::Pings => "h2.flood.pings",
            Self::Ignored => "h2.flood.ignored",
            Self::EmptyData => "h2.flood.empty_data",
            Self::WindowUpdates => "h2.flood.window_updates",
            Self::Continuations => "h2.flood.continuations",
        }
    }
}

/// Reads frame headers as they pass, and counts.
#[derive(Debug)]
pub(super) struct Guard {
    limits: GuardLimits,
    place: Place,
    /// When this window began.
    began: Duration,
    seen: Seen,
    /// `CONTINUATION` frames since the last frame of another type.
    continuations: u32,
}

/// Where in the peer's bytes the next one stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// So many bytes of the preface or of a payload are still to come.
    Inside(usize),
    /// So many bytes of a frame's header are here.
    Header { bytes: [u8; HEADER_BYTES], filled: usize },
}

/// What this window has seen.
#[derive(Debug, Default)]
struct Seen {
    sent_bytes: u64,
    /// Those of acknowledgements, which the peer has only asked for.
    acknowledging_bytes: u64,
    header_blocks: u32,
    resets: u32,
    settings: u32,
    pings: u32,
    ignored: u32,
    empty_data: u32,
    window_updates: u32,
}

impl Guard {
    /// Reads what a client sends.
    pub(super) fn of_client(limits: GuardLimits) -> Self {
        Self::new(limits, Place::Inside(PREFACE_BYTES))
    }

    /// Reads what a server sends.
    pub(super) fn of_server(limits: GuardLimits) -> Self {
        Self::new(limits, Place::FRAME)
    }

    fn new(limits: GuardLimits, place: Place) -> Self {
        Self { limits, place, began: Duration::ZERO, seen: Seen::default(), continuations: 0 }
    }

    /// Counts what has been sent to the peer.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.seen.sent_bytes += bytes as u64;
    }

    /// Counts the frames whose headers these bytes complete.
    pub(super) fn scan(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Flood> {
        if now.saturating_sub(self.began) >= self.limits.window {
            self.began = now;
            self.seen = Seen::default();
        }
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Inside(left) => {
                    let passed = bytes.len().min(*left);
                    *left -= passed;
                    bytes = bytes.get(passed..).unwrap_or_default();
                    if *left == 0 {
                        self.place = Place::FRAME;
                    }
                }
                // Mostly a header comes whole.
                Place::Header { filled: 0, .. } if bytes.len() >= HEADER_BYTES => {
                    let Some((header, rest)) = bytes.split_first_chunk() else { break };
                    bytes = rest;
                    self.take_header(*header)?;
                }
                Place::Header { bytes: header, filled } => {
                    let (Some(free), Some((byte, rest))) = (header.get_mut(*filled), bytes.split_first())
                    else {
                        break;
                    };
                    *free = *byte;
                    *filled += 1;
                    bytes = rest;
                    if *filled == HEADER_BYTES {
                        let header = *header;
                        self.take_header(header)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take_header(&mut self, header: [u8; HEADER_BYTES]) -> Result<(), Flood> {
        let [a, b, c, kind, flags, ..] = header;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.place = if len == 0 { Place::FRAME } else { Place::Inside(len) };
        self.count(kind, flags, len)
    }

    fn count(&mut self, kind: u8, flags: u8, len: usize) -> Result<(), Flood> {
        let Self { limits, seen, .. } = self;
        if flags & ACK == 0 {
            seen.acknowledging_bytes += match kind {
                0x4 => SETTINGS_ACK_BYTES,
                0x6 => PING_BYTES,
                _ => 0,
            };
        }
        let sent_bytes = seen.sent_bytes.saturating_sub(seen.acknowledging_bytes);
        let answered = sent_bytes / u64::from(limits.sent_bytes_per_frame.max(1));
        if kind != 0x9 {
            self.continuations = 0;
        }
        match kind {
            // DATA
            0x0 => {
                let is_empty = len == 0 || (flags & PADDED != 0 && len <= PADDING_BYTES_MAX);
                let counts = is_empty && flags & END_STREAM == 0;
                tally(&mut seen.empty_data, counts, limits.empty_data_max, 0, Flood::EmptyData)
            }
            // HEADERS, PUSH_PROMISE
            0x1 | 0x5 => {
                seen.header_blocks = seen.header_blocks.saturating_add(1);
                Ok(())
            }
            // RST_STREAM
            0x3 => {
                let more = u64::from(seen.header_blocks / 2);
                tally(&mut seen.resets, true, limits.resets_max, more, Flood::Resets)
            }
            // SETTINGS
            0x4 => tally(&mut seen.settings, true, limits.settings_max, 0, Flood::Settings),
            // PING
            0x6 => tally(&mut seen.pings, true, limits.pings_max, answered, Flood::Pings),
            // GOAWAY
            0x7 => Ok(()),
            // WINDOW_UPDATE
            0x8 => {
                let most = limits.window_updates_max;
                tally(&mut seen.window_updates, true, most, answered, Flood::WindowUpdates)
            }
            // CONTINUATION; the last one of a block is one, too.
            0x9 => {
                let most = limits.continuations_max;
                tally(&mut self.continuations, true, most, 0, Flood::Continuations)?;
                if flags & END_HEADERS != 0 {
                    self.continuations = 0;
                }
                Ok(())
            }
            // PRIORITY and whatever is not known.
            _ => {
                let more = u64::from(seen.header_blocks);
                tally(&mut seen.ignored, true, limits.ignored_max, more, Flood::Ignored)
            }
        }
    }
}

impl Place {
    /// Before a frame.
    const FRAME: Self = Self::Header { bytes: [0; HEADER_BYTES], filled: 0 };
}

/// Counts one if `counts`, and holds the count to its limit and what is allowed besides.
fn tally(count: &mut u32, counts: bool, most: u32, more: u64, flood: Flood) -> Result<(), Flood> {
    *count = count.saturating_add(u32::from(counts));
    if u64::from(*count) > u64::from(most) + more { Err(flood) } else { Ok(()) }
}
