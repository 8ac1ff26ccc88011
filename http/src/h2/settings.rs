//! What one end of a connection allows the other.

use crate::head::Limits;

use super::limits::GuardLimits;

/// The least that a maximum frame size may be (RFC 9113, 6.5.2).
const FRAME_BYTES_LEAST: u32 = 16 * 1024;
/// The most that a maximum frame size may be.
const FRAME_BYTES_MOST: u32 = (1 << 24) - 1;
/// The most that a window may be.
const WINDOW_MOST: u32 = (1 << 31) - 1;

/// What one end of a connection allows the other.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Streams that the peer may have open at once (`SETTINGS_MAX_CONCURRENT_STREAMS`). Over it: `REFUSED_STREAM`.
    pub streams_max: u32,
    /// Bytes of a stream's data that may wait to be read (`SETTINGS_INITIAL_WINDOW_SIZE`).
    pub stream_window: u32,
    /// Bytes of all streams' data that may wait to be read.
    pub connection_window: u32,
    /// Bytes of a frame's payload that is received (`SETTINGS_MAX_FRAME_SIZE`): 16 KiB to 16 MiB - 1.
    pub frame_bytes_max: u32,
    /// Bytes of a header list, as RFC 9113, 6.5.2 counts them. Over it: 431, far over it: the connection ends.
    pub header_bytes_max: u32,
    /// Bytes that one stream may have waiting to be sent.
    pub send_buffer_bytes_max: usize,
    /// Bytes of output that may wait to be taken. Over it: nothing more is written or read until they are.
    pub output_bytes_max: usize,
    /// Bytes of input that may wait to be looked at; they do while output waits. Over it:
    /// [`super::Server::wants_input`] says no.
    pub input_bytes_max: usize,
    /// Streams that were reset by the peer before they were taken with [`super::Server::poll`]. Over it: the
    /// connection ends with `ENHANCE_YOUR_CALM`.
    pub pending_resets_max: usize,
    /// Streams that this end had to reset because of what the peer sent, over the life of a connection. Over it: the
    /// connection ends with `ENHANCE_YOUR_CALM`.
    pub error_resets_max: usize,
    /// What the pieces of data that wait to be read may cost besides their bytes: each counts for what it is shorter
    /// than 256. Over it: the connection ends with `ENHANCE_YOUR_CALM`. To be so large that who sends small pieces is
    /// held back by windows before.
    pub pieces_bytes_max: usize,
    /// Streams that this end has reset and remembers, so that frames on their way do not count as errors.
    pub remembered_resets_max: usize,
    /// What the peer may send of frames that carry nothing.
    pub guard: GuardLimits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streams_max: 128,
            stream_window: 128 * 1024,
            connection_window: 1024 * 1024,
            frame_bytes_max: FRAME_BYTES_LEAST,
            header_bytes_max: 64 * 1024,
            send_buffer_bytes_max: 64 * 1024,
            output_bytes_max: 256 * 1024,
            input_bytes_max: 64 * 1024,
            pending_resets_max: 20,
            error_resets_max: 1024,
            pieces_bytes_max: 4 * 1024 * 1024,
            remembered_resets_max: 50,
            guard: GuardLimits::default(),
        }
    }
}

/// Sets what both builders have under the same names. Values that HTTP/2 cannot state are brought into its ranges.
macro_rules! build {
    ($builder:expr, $settings:expr) => {{
        let (mut builder, settings) = ($builder, $settings);
        builder
            .max_concurrent_streams(settings.streams_max)
            .initial_window_size(settings.window(settings.stream_window))
            .initial_connection_window_size(settings.window(settings.connection_window))
            .max_frame_size(settings.frame_bytes())
            .max_header_list_size(settings.header_bytes_max)
            .max_send_buffer_size(settings.send_buffer_bytes_max)
            .max_pending_accept_reset_streams(settings.pending_resets_max)
            .max_local_error_reset_streams(Some(settings.error_resets_max))
            .max_concurrent_reset_streams(settings.remembered_resets_max)
            .data_frame_budget(settings.pieces_bytes_max);
        builder
    }};
}

/// What a field counts for besides its name and value (RFC 9113, 6.5.2).
const FIELD_OVERHEAD: usize = 32;

impl Settings {
    /// Room for heads that [`Limits`] allow, so that a head over them is refused by its reader, with a reason, and
    /// not by the library, which answers what is over [`Settings::header_bytes_max`] by itself.
    #[must_use]
    pub fn with_heads(mut self, limits: &Limits) -> Self {
        let bytes = limits.fields_max.saturating_mul(FIELD_OVERHEAD).saturating_add(limits.head_bytes_max);
        self.header_bytes_max = u32::try_from(bytes.saturating_add(FIELD_OVERHEAD)).unwrap_or(u32::MAX);
        // Besides the first frame of a block, what is left of it, and a quarter for frames that are not full.
        let frames = self.header_bytes_max / self.frame_bytes();
        self.guard.continuations_max = self.guard.continuations_max.max(frames + frames / 4);
        self
    }

    /// The library's builder of a server.
    pub(super) fn server(&self) -> ::h2::server::Builder {
        let mut builder = build!(::h2::server::Builder::new(), self);
        builder.enable_connect_protocol();
        builder
    }

    /// The library's builder of a client.
    pub(super) fn client(&self) -> ::h2::client::Builder {
        let mut builder = build!(::h2::client::Builder::new(), self);
        builder.enable_push(false);
        builder
    }

    fn frame_bytes(&self) -> u32 {
        self.frame_bytes_max.clamp(FRAME_BYTES_LEAST, FRAME_BYTES_MOST)
    }

    #[expect(clippy::unused_self, reason = "it reads as one of the settings")]
    fn window(&self, bytes: u32) -> u32 {
        bytes.min(WINDOW_MOST)
    }
}
