//! The origin's end of an HTTP/2 connection.

use std::collections::VecDeque;

use super::frame::{self, Frame};
use super::message::Message;
use super::session::Session;

/// A client that speaks HTTP/2, by prior knowledge.
#[derive(Debug)]
pub(crate) struct Served {
    session: Session,
    /// The client's preface has not come as far as this.
    preface: &'static [u8],
    /// Requests whose bodies are coming, and how much has come.
    coming: Vec<(u32, usize)>,
    /// Requests whose answers wait for room.
    waiting: VecDeque<u32>,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self {
            session: Session::new(&[]),
            preface: frame::PREFACE,
            coming: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes bytes and answers what is complete. `wanted`: what each request's body must be; none: anything. Wrong
    /// requests are the end.
    pub(crate) fn hear(
        &mut self,
        mut input: &[u8],
        answer: &Message,
        wanted: Option<&[u8]>,
    ) -> Result<(), &'static str> {
        if !self.preface.is_empty() {
            let length = self.preface.len().min(input.len());
            let (expected, missing) = self.preface.split_at_checked(length).unwrap_or_default();
            input = input.strip_prefix(expected).ok_or("no preface")?;
            self.preface = missing;
        }
        let Self { session, coming, waiting, .. } = self;
        session.hear(input, |_, frame| request(coming, waiting, frame, wanted))?;
        while let Some(&stream) = waiting.front() {
            if !session.reserve(answer.body.len())? {
                break;
            }
            waiting.pop_front();
            answer.put(&mut session.output, stream);
        }
        Ok(())
    }

    /// What is to be sent; what was sent is to be taken out of it.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.session.output
    }
}

/// One frame of a request.
fn request(
    coming: &mut Vec<(u32, usize)>,
    complete: &mut VecDeque<u32>,
    frame: Frame<'_>,
    wanted: Option<&[u8]>,
) -> Result<(), &'static str> {
    let at = coming.iter().position(|(stream, _)| *stream == frame.stream);
    let mut taken = 0;
    match (frame.kind, at.and_then(|at| coming.get_mut(at))) {
        (frame::HEADERS, None) if !frame.ends_stream() => coming.push((frame.stream, 0)),
        // Trailers, or a whole request.
        (frame::HEADERS, entry) => taken = entry.map_or(0, |(_, taken)| *taken),
        (frame::DATA, Some((_, before))) => {
            let content = frame.content()?;
            let end = *before + content.len();
            if wanted.is_some_and(|wanted| wanted.get(*before..end) != Some(content)) {
                return Err("a body that is not as agreed");
            }
            *before = end;
            taken = end;
        }
        (frame::DATA, None) => return Err("a body without a head"),
        // It is given up.
        (frame::RST_STREAM, Some(_)) => coming.retain(|(stream, _)| *stream != frame.stream),
        _ => {}
    }
    if frame.ends_stream() {
        if wanted.is_some_and(|wanted| wanted.len() != taken) {
            return Err("a body of another length");
        }
        coming.retain(|(stream, _)| *stream != frame.stream);
        complete.push_back(frame.stream);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::h2::message::{Asked, payload};

    const ASKED: Asked<'_> = Asked { over_tls: false, authority: "a", path: "/" };

    /// The streams of which an answer ends in these bytes.
    fn ended(output: &[u8]) -> Vec<u32> {
        let (mut found, mut rest) = (Vec::new(), output);
        while let Some((frame, behind)) = Frame::first(rest).unwrap() {
            found.extend(frame.ends_stream().then_some(frame.stream));
            rest = behind;
        }
        found
    }

    #[test]
    fn requests_are_answered_however_they_are_cut() {
        let body = Body::new();
        let (call, reply) = (Message::of_load(true, ASKED, 100, &body), Message::of_origin(true, 100, &body));
        let wanted = payload(true, 100, &body);
        let mut bytes = frame::PREFACE.to_vec();
        for stream in [1, 3, 5] {
            call.put(&mut bytes, stream);
        }
        for size in 1..=bytes.len() {
            let mut served = Served::new();
            for chunk in bytes.chunks(size) {
                served.hear(chunk, &reply, Some(&wanted)).unwrap();
            }
            assert_eq!(ended(served.output()), [1, 3, 5], "{size}");
        }
    }

    #[test]
    fn an_answer_waits_for_room() {
        let (body, mut served) = (Body::new(), Served::new());
        let request = Message::of_load(false, ASKED, 0, &body);
        let answer = Message::of_origin(false, 40_000, &body);
        let mut bytes = frame::PREFACE.to_vec();
        request.put(&mut bytes, 1);
        request.put(&mut bytes, 3);
        served.hear(&bytes, &answer, None).unwrap();
        assert_eq!(ended(served.output()), [1]);
        served.output().clear();
        let mut update = Vec::new();
        frame::put(&mut update, frame::WINDOW_UPDATE, 0, 0, &40_000_u32.to_be_bytes());
        served.hear(&update, &answer, None).unwrap();
        assert_eq!(ended(served.output()), [3]);
    }

    #[test]
    fn what_is_not_as_agreed_is_refused() {
        let body = Body::new();
        let answer = Message::of_origin(false, 5, &body);
        let wanted = payload(true, 100, &body);
        let mut shorter = frame::PREFACE.to_vec();
        Message::of_load(true, ASKED, 99, &body).put(&mut shorter, 1);
        let mut without = frame::PREFACE.to_vec();
        Message::of_load(false, ASKED, 0, &body).put(&mut without, 1);
        let mut headless = frame::PREFACE.to_vec();
        frame::put(&mut headless, frame::DATA, frame::END_STREAM, 1, &wanted);
        for bytes in [&shorter[..], &without, &headless, b"GET / HTTP/1.1\r\n"] {
            assert!(Served::new().hear(bytes, &answer, Some(&wanted)).is_err(), "{bytes:?}");
        }
    }
}
