//! What both ends of an HTTP/2 connection do alike: take frames from bytes however they are cut, answer SETTINGS and
//! PING, and count windows. No stream has a window of its own here: nothing is sent that does not fit in its first.

use super::frame::{self, Frame};

/// So many bytes may come on a stream or a connection before somebody must say that they were read.
const WINDOW: u32 = 1 << 30;
/// The window that a connection begins with (RFC 9113, section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;

/// The state of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// The front of a frame whose end has not come.
    partial: Vec<u8>,
    /// Frames that are to be sent.
    pub(crate) output: Vec<u8>,
    /// Bytes of bodies that may be sent on this connection.
    room: u32,
    /// The window that the other side gives to each stream.
    stream_room: u32,
    /// Bytes that have come since the other side was last given room.
    read: u32,
    /// Streams that the other side takes at a time.
    streams_max: u32,
}

impl Session {
    /// With what is to be sent first: a client's preface or nothing, and SETTINGS.
    pub(crate) fn new(preface: &[u8]) -> Self {
        let mut output = preface.to_vec();
        // No push, and room for any body.
        let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
        settings.extend_from_slice(&WINDOW.to_be_bytes());
        frame::put(&mut output, frame::SETTINGS, 0, 0, &settings);
        frame::put(&mut output, frame::WINDOW_UPDATE, 0, 0, &(WINDOW - FIRST_WINDOW).to_be_bytes());
        Self {
            partial: Vec::new(),
            output,
            room: FIRST_WINDOW,
            stream_room: FIRST_WINDOW,
            read: 0,
            streams_max: u32::MAX,
        }
    }

    /// Takes bytes, and gives the frames that belong to streams to somebody else.
    pub(crate) fn hear(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(&mut Self, Frame<'_>) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        if self.partial.is_empty() {
            let rest = self.take_all(input, &mut take)?;
            self.partial.extend_from_slice(rest);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(input);
        let rest = self.take_all(&all, &mut take)?.len();
        all.drain(..all.len() - rest);
        self.partial = all;
        Ok(())
    }

    /// Takes room for a body, if there is so much.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<bool, &'static str> {
        let bytes = u32::try_from(bytes).ok().filter(|bytes| *bytes <= self.stream_room);
        let bytes = bytes.ok_or("a body that is larger than a stream's window")?;
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(self.room);
        Ok(left.is_some())
    }

    pub(crate) fn streams_max(&self) -> usize {
        usize::try_from(self.streams_max).unwrap_or(usize::MAX)
    }

    fn take_all<'i>(
        &mut self,
        mut input: &'i [u8],
        take: &mut impl FnMut(&mut Self, Frame<'_>) -> Result<(), &'static str>,
    ) -> Result<&'i [u8], &'static str> {
        while let Some((frame, rest)) = Frame::first(input)? {
            input = rest;
            if frame.kind == frame::DATA {
                self.count(frame.payload.len());
            }
            if frame.stream == 0 {
                self.of_connection(frame)?;
            } else if !matches!(frame.kind, frame::WINDOW_UPDATE | frame::PRIORITY | frame::CONTINUATION) {
                take(self, frame)?;
            }
        }
        Ok(input)
    }

    /// Gives room for what has come, well before there is none.
    fn count(&mut self, bytes: usize) {
        self.read += u32::try_from(bytes).unwrap_or(0);
        if self.read > WINDOW / 2 {
            frame::put(&mut self.output, frame::WINDOW_UPDATE, 0, 0, &self.read.to_be_bytes());
            self.read = 0;
        }
    }

    fn of_connection(&mut self, frame: Frame<'_>) -> Result<(), &'static str> {
        match frame.kind {
            frame::SETTINGS if frame.flags & frame::ACK == 0 => {
                for setting in frame.payload.chunks_exact(6) {
                    // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_INITIAL_WINDOW_SIZE.
                    match *setting {
                        [0, 3, ref value @ ..] => self.streams_max = number(value),
                        [0, 4, ref value @ ..] => self.stream_room = number(value),
                        _ => {}
                    }
                }
                frame::put(&mut self.output, frame::SETTINGS, frame::ACK, 0, &[]);
            }
            frame::PING if frame.flags & frame::ACK == 0 => {
                frame::put(&mut self.output, frame::PING, frame::ACK, 0, frame.payload);
            }
            frame::WINDOW_UPDATE => self.room = self.room.saturating_add(frame.increment()?),
            frame::GOAWAY => return Err("a GOAWAY"),
            _ => {}
        }
        Ok(())
    }
}

/// The value of a setting.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let (mut found, mut rest) = (Vec::new(), bytes);
        while let Some((frame, behind)) = Frame::first(rest).unwrap() {
            found.push((frame.kind, frame.flags, frame.stream, frame.payload.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty());
        found
    }

    #[test]
    fn frames_are_taken_however_they_are_cut() {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, frame::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        frame::put(&mut bytes, frame::HEADERS, frame::END_HEADERS, 1, &[0x88]);
        frame::put(&mut bytes, frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]);
        frame::put(&mut bytes, frame::DATA, frame::END_STREAM, 1, b"hello");
        frame::put(&mut bytes, frame::PING, 0, 0, b"12345678");
        for size in 1..=bytes.len() {
            let mut session = Session::new(&[]);
            session.output.clear();
            let mut taken = Vec::new();
            for chunk in bytes.chunks(size) {
                session
                    .hear(chunk, |_, frame| {
                        taken.push((frame.kind, frame.payload.to_vec()));
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(taken, [(frame::HEADERS, vec![0x88]), (frame::DATA, b"hello".to_vec())], "{size}");
            let answers = [
                (frame::SETTINGS, frame::ACK, 0, Vec::new()),
                (frame::PING, frame::ACK, 0, b"12345678".to_vec()),
            ];
            assert_eq!((frames(&session.output), session.streams_max()), (answers.to_vec(), 100), "{size}");
        }
    }

    #[test]
    fn bodies_take_room_and_updates_give_it() {
        let mut session = Session::new(&[]);
        assert_eq!(session.reserve(65_535), Ok(true));
        assert_eq!(session.reserve(1), Ok(false));
        assert!(session.reserve(65_536).is_err(), "no stream has so much");
        let mut bytes = Vec::new();
        frame::put(&mut bytes, frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
        session.hear(&bytes, |_, _| Ok(())).unwrap();
        assert_eq!((session.reserve(1), session.reserve(1)), (Ok(true), Ok(false)));
    }

    #[test]
    fn what_has_come_is_given_back_as_room() {
        let mut session = Session::new(&[]);
        session.output.clear();
        let mut data = Vec::new();
        frame::put(&mut data, frame::DATA, 0, 1, &[0; 16_384]);
        let half = WINDOW / 2 / 16_384;
        for _ in 0..half {
            session.hear(&data, |_, _| Ok(())).unwrap();
        }
        assert!(session.output.is_empty());
        session.hear(&data, |_, _| Ok(())).unwrap();
        let given = (half + 1) * 16_384;
        assert_eq!(frames(&session.output), [(frame::WINDOW_UPDATE, 0, 0, given.to_be_bytes().to_vec())]);
    }

    #[test]
    fn a_client_begins_with_the_preface_and_an_end_is_an_error() {
        let mut session = Session::new(frame::PREFACE);
        let frames = frames(session.output.strip_prefix(frame::PREFACE).unwrap());
        assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [4, 8]);
        let mut bytes = Vec::new();
        frame::put(&mut bytes, frame::GOAWAY, 0, 0, &[0; 8]);
        assert_eq!(session.hear(&bytes, |_, _| Ok(())), Err("a GOAWAY"));
    }
}
