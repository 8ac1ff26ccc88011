//! A closed loop over HTTP/2: each connection keeps so many streams open, and opens the next when the answer on one has
//! been checked. All that a turn has to send goes in one write.

use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::frame::{self, Frame};
use super::message::{Asked, Message, payload};
use super::session::Session;
use crate::args::Url;
use crate::body::Body;
use crate::epoll::Epoll;
use crate::line::{Got, Line};
use crate::load::{ERRORS_MAX, Plan, Tally};

/// The greatest number of a stream.
const LAST_STREAM: u32 = 0x7fff_ffff;

/// The connections of a run. They are closed when it is dropped.
pub(crate) struct Load<'p> {
    url: &'p Url,
    plan: &'p Plan,
    terms: Terms,
    epoll: Epoll,
    ready: Vec<u64>,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    pub(crate) tally: Tally,
}

/// What all streams have in common.
#[derive(Debug)]
struct Terms {
    streams: usize,
    request: Message,
    /// The body of each answer; none: any.
    answer: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Connection {
    line: Line,
    session: Session,
    /// Of the next request.
    next: u32,
    open: Vec<Stream>,
    waits_for_room: bool,
}

/// A request whose answer has not come to its end.
#[derive(Debug)]
struct Stream {
    number: u32,
    has_head: bool,
    /// Bytes of the answer's body that have come.
    taken: usize,
}

impl<'p> Load<'p> {
    /// Opens all connections, each with its first requests sent, once that may be.
    pub(crate) fn open(url: &'p Url, plan: &'p Plan) -> Result<Self> {
        ensure!(
            plan.reuse && plan.paths.is_empty(),
            "HTTP/2 is only asked for one path on connections that stay"
        );
        let body = Body::new();
        let asked = Asked { over_tls: plan.tls.is_some(), authority: &url.authority, path: &url.path };
        let terms = Terms {
            streams: plan.streams,
            request: Message::of_load(plan.grpc, asked, plan.posts, &body),
            answer: plan.length.map(|length| payload(plan.grpc, length, &body)),
        };
        let mut load = Self {
            url,
            plan,
            terms,
            epoll: Epoll::new()?,
            ready: Vec::new(),
            connections: Vec::new(),
            buffer: vec![0; 256 * 1024],
            tally: Tally::default(),
        };
        for number in 0..plan.connections {
            let connection = load.connect(number)?;
            load.connections.push(connection);
        }
        Ok(load)
    }

    /// Waits for answers at most this long and deals with them. How much there was.
    pub(crate) fn turn(&mut self, limit: Duration) -> Result<usize> {
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(limit, &mut ready)?;
        for &number in &ready {
            self.turn_one(usize::try_from(number)?)?;
        }
        let count = ready.len();
        self.ready = ready;
        Ok(count)
    }

    fn connect(&mut self, number: usize) -> Result<Connection> {
        let line = Line::connect(self.url.address, self.plan.tls.as_ref())
            .with_context(|| self.url.address.to_string())?;
        self.epoll.add(line.socket(), u64::try_from(number)?)?;
        let mut connection = Connection {
            line,
            session: Session::new(frame::PREFACE),
            next: 1,
            open: Vec::with_capacity(self.terms.streams),
            waits_for_room: false,
        };
        // A failure shows at the first read.
        let _ = connection.ask(&self.terms).and_then(|()| connection.send());
        connection.watch_room(&self.epoll, number)?;
        Ok(connection)
    }

    fn turn_one(&mut self, number: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        let turned = connection
            .read(&mut self.buffer, &self.terms, &mut self.tally)
            .and_then(|()| connection.ask(&self.terms))
            .and_then(|()| connection.send());
        let Err(why) = turned else { return connection.watch_room(&self.epoll, number) };
        self.tally.errors.add(why);
        if self.tally.errors.total() > ERRORS_MAX {
            bail!("too many errors: {:?}", self.tally.errors);
        }
        let connection = self.connect(number)?;
        if let Some(slot) = self.connections.get_mut(number) {
            *slot = connection;
        }
        Ok(())
    }
}

impl AsFd for Load<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Connection {
    /// Opens streams as long as there may be more.
    fn ask(&mut self, terms: &Terms) -> Result<(), String> {
        if self.session.streams_max() < terms.streams {
            return Err(format!("only {} streams are allowed", self.session.streams_max()));
        }
        while self.open.len() < terms.streams && self.session.reserve(terms.request.body.len())? {
            if self.next > LAST_STREAM {
                return Err("no streams are left".to_owned());
            }
            terms.request.put(&mut self.session.output, self.next);
            self.open.push(Stream { number: self.next, has_head: false, taken: 0 });
            self.next += 2;
        }
        Ok(())
    }

    /// Sends what the socket takes of what is to be sent.
    fn send(&mut self) -> Result<(), String> {
        while !self.session.output.is_empty() {
            match self.line.write(&self.session.output) {
                Ok(sent) => drop(self.session.output.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.kind().to_string()),
            }
        }
        self.line.send_rest().map_err(|error| error.kind().to_string())
    }

    fn watch_room(&mut self, epoll: &Epoll, number: usize) -> Result<()> {
        let watches = self.line.wants_room() || (self.line.is_open() && !self.session.output.is_empty());
        if watches != self.waits_for_room {
            self.waits_for_room = watches;
            epoll.watch_room(self.line.socket(), u64::try_from(number)?, watches)?;
        }
        Ok(())
    }

    /// Reads once.
    fn read(&mut self, buffer: &mut [u8], terms: &Terms, tally: &mut Tally) -> Result<(), String> {
        let Self { line, session, open, .. } = self;
        let is_opening = !line.is_open();
        let got = line.read(buffer, |input| {
            session.hear(input, |_, frame| answer(open, terms, tally, frame)).map_err(str::to_owned)
        })?;
        let protocol = line.session().and_then(crate::tls::Session::protocol);
        if is_opening && line.is_open() && protocol != Some(b"h2") {
            return Err("ALPN has not chosen h2".to_owned());
        }
        match got {
            Got::End => Err("closed".to_owned()),
            Got::Something | Got::Nothing => Ok(()),
        }
    }
}

/// One frame of an answer.
fn answer(
    open: &mut Vec<Stream>,
    terms: &Terms,
    tally: &mut Tally,
    frame: Frame<'_>,
) -> Result<(), &'static str> {
    let at = open.iter().position(|stream| stream.number == frame.stream).ok_or("an unknown stream")?;
    let Some(stream) = open.get_mut(at) else { return Ok(()) };
    match frame.kind {
        frame::HEADERS if !stream.has_head => {
            if !frame::is_ok(frame.content()?) {
                return Err("not a 200");
            }
            stream.has_head = true;
        }
        frame::DATA => {
            let content = frame.content()?;
            let end = stream.taken + content.len();
            if terms.answer.as_ref().is_some_and(|wanted| wanted.get(stream.taken..end) != Some(content)) {
                return Err("wrong content");
            }
            stream.taken = end;
            tally.bytes += u64::try_from(content.len()).unwrap_or(0);
        }
        frame::RST_STREAM => return Err("a stream that was reset"),
        _ => {}
    }
    if frame.ends_stream() {
        if !stream.has_head || terms.answer.as_ref().is_some_and(|wanted| wanted.len() != stream.taken) {
            return Err("an answer of another length");
        }
        open.swap_remove(at);
        tally.requests += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(answer: Option<&[u8]>) -> Terms {
        let asked = Asked { over_tls: false, authority: "a", path: "/" };
        let request = Message::of_load(false, asked, 0, &Body::new());
        Terms { streams: 1, request, answer: answer.map(<[u8]>::to_vec) }
    }

    /// What comes of the frames of one answer: requests that were counted.
    fn counted(terms: &Terms, frames: &[(u8, u8, &[u8])]) -> Result<u64, &'static str> {
        let mut open = vec![Stream { number: 1, has_head: false, taken: 0 }];
        let mut tally = Tally::default();
        for &(kind, flags, payload) in frames {
            answer(&mut open, terms, &mut tally, Frame { kind, flags, stream: 1, payload })?;
        }
        Ok(tally.requests)
    }

    #[test]
    fn only_answers_as_they_should_be_are_counted() {
        let (head, data, end) = (frame::HEADERS, frame::DATA, frame::END_STREAM);
        let wanted = terms(Some(b"hello"));
        for (frames, expected) in [
            (&[(head, 4, &[0x88][..]), (data, end, b"hello")][..], Ok(1)),
            (&[(head, 4, &[0x88]), (data, 0, b"hel"), (data, 0, b"lo"), (data, end, b"")], Ok(1)),
            (&[(head, 4, &[0x88]), (data, 0, b"hello"), (head, 4 | end, &[0])], Ok(1)),
            (&[(head, 4, &[0x88]), (data, 0, b"hello")], Ok(0)),
            (&[(head, 4, &[0x88]), (data, end, b"hell")], Err("an answer of another length")),
            (&[(head, 4, &[0x88]), (data, end, b"jello")], Err("wrong content")),
            (&[(head, 4, &[0x88]), (data, end, b"hello!")], Err("wrong content")),
            (&[(head, 4 | end, &[0x88])], Err("an answer of another length")),
            (&[(data, end, b"hello")], Err("an answer of another length")),
            (&[(head, 4, &[0x8e])], Err("not a 200")),
            (&[(frame::RST_STREAM, 0, &[0; 4])], Err("a stream that was reset")),
        ] {
            assert_eq!(counted(&wanted, frames), expected, "{frames:?}");
        }
        let mut open = Vec::new();
        let frame = Frame { kind: data, flags: 0, stream: 3, payload: b"" };
        assert!(answer(&mut open, &wanted, &mut Tally::default(), frame).is_err(), "nobody asked");
    }
}
