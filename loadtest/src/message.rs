//! A message on its way: sent in pieces as the socket takes them, received in pieces and checked as they come.

use std::io::{self, ErrorKind, Write};

use crate::answer::{self, Head};
use crate::body::Body;

/// So much of a body goes with its head in one write.
const FIRST: usize = 64 * 1024;
/// After so many pieces others have their turn.
const PIECES: usize = 4;
/// A head that is longer is none.
const HEAD_MAX: usize = 64 * 1024;

/// A head with a body behind it, to be sent again and again.
#[derive(Debug)]
pub(crate) struct Message {
    /// The head, and the front of the body.
    first: Vec<u8>,
    head: usize,
    length: usize,
}

/// How far a message has been sent.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sending {
    sent: usize,
}

/// How far a message has come in.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// The front of a head whose end has not come.
    partial: Vec<u8>,
    /// The head of the message whose body is coming.
    head: Option<Head>,
    /// Bytes of its body that have come.
    taken: usize,
    /// Whether the bytes of a body are compared with what they should be.
    compares: bool,
}

impl Message {
    /// `head` ends with an empty line.
    pub(crate) fn new(head: &str, length: usize, body: &Body) -> Self {
        let mut first = head.as_bytes().to_vec();
        first.extend_from_slice(body.piece(0, length.min(FIRST)));
        Self { first, head: head.len(), length }
    }

    /// Bytes of head and body.
    pub(crate) fn whole(&self) -> usize {
        self.head + self.length
    }
}

impl Sending {
    /// Sends what the socket takes, up to a limit. True: all of it has been sent, and the next one may begin.
    pub(crate) fn turn(
        &mut self,
        stream: &mut impl Write,
        message: &Message,
        body: &Body,
    ) -> io::Result<bool> {
        for _ in 0..PIECES {
            let piece = match message.first.get(self.sent..).filter(|piece| !piece.is_empty()) {
                Some(piece) => piece,
                None => body.piece(self.sent - message.head, message.whole() - self.sent),
            };
            match stream.write(piece) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.sent == message.whole() {
                self.sent = 0;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes of the present message that have been sent.
    pub(crate) fn sent(self) -> usize {
        self.sent
    }

    /// Whether a part has been sent and a part has not.
    pub(crate) fn is_under_way(self) -> bool {
        self.sent > 0
    }
}

impl Receiving {
    pub(crate) fn new(compares: bool) -> Self {
        Self { partial: Vec::new(), head: None, taken: 0, compares }
    }

    /// Takes bytes up to the end of a message: how many, and the head of the message, if that was its end.
    pub(crate) fn take(&mut self, input: &[u8], body: &Body) -> Result<(usize, Option<Head>), &'static str> {
        let Some((head, at)) = self.head(input)? else { return Ok((input.len(), None)) };
        let rest = head.length.unwrap_or(0) - self.taken;
        let bytes = input.get(at..).unwrap_or_default();
        let bytes = bytes.get(..rest).unwrap_or(bytes);
        if self.compares && !body.is_at(self.taken, bytes) {
            return Err("wrong content");
        }
        self.head = Some(head);
        Ok((at + bytes.len(), self.count(bytes.len())))
    }

    /// Bytes of the present body that have not come, once its head has.
    pub(crate) fn rest(&self) -> usize {
        self.head.map_or(0, |head| head.length.unwrap_or(0) - self.taken)
    }

    /// Bytes of the present body that have come.
    pub(crate) fn begun(&self) -> usize {
        self.taken
    }

    /// Whether a part of a message has come and a part has not.
    pub(crate) fn is_under_way(&self) -> bool {
        self.head.is_some() || !self.partial.is_empty()
    }

    /// Counts bytes of the present body, at most its rest. The head: that was the end.
    pub(crate) fn count(&mut self, bytes: usize) -> Option<Head> {
        self.taken += bytes;
        let head = self.head.filter(|head| head.length.unwrap_or(0) <= self.taken)?;
        (self.head, self.taken) = (None, 0);
        Some(head)
    }

    /// The present message's head, and where in the input its body goes on.
    fn head(&mut self, input: &[u8]) -> Result<Option<(Head, usize)>, &'static str> {
        if let Some(head) = self.head {
            return Ok(Some((head, 0)));
        }
        if self.partial.is_empty()
            && let Some(head) = answer::head(input)?
        {
            return Ok(Some((head, head.bytes)));
        }
        let before = self.partial.len();
        self.partial.extend_from_slice(input);
        let Some(head) = answer::head(&self.partial)? else {
            return if self.partial.len() > HEAD_MAX { Err("a head without an end") } else { Ok(None) };
        };
        self.partial.clear();
        Ok(Some((head, head.bytes.saturating_sub(before))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    /// All that is sent of a message, as somebody reads it.
    fn sent(message: &Message, body: &Body) -> Vec<u8> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        sender.set_nonblocking(true).unwrap();
        let mut reader = listener.accept().unwrap().0;
        reader.set_nonblocking(true).unwrap();
        let (mut sending, mut all, mut buffer) = (Sending::default(), Vec::new(), vec![0; 100_000]);
        let mut is_sent = false;
        while all.len() < message.whole() {
            is_sent = is_sent || sending.turn(&mut &sender, message, body).unwrap();
            while let Ok(read) = reader.read(&mut buffer) {
                all.extend_from_slice(&buffer[..read]);
            }
        }
        assert!(is_sent && !sending.is_under_way());
        all
    }

    #[test]
    fn what_is_sent_is_received_however_it_is_cut() {
        let body = Body::new();
        for length in [0, 1, 500, FIRST + 1, 3_000_000] {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let bytes = sent(&Message::new(&text, length, &body), &body);
            for size in [1, 7, 1000, bytes.len()] {
                let mut receiving = Receiving::new(true);
                let mut ends = 0;
                for chunk in bytes.chunks(size) {
                    let (taken, end) = receiving.take(chunk, &body).unwrap();
                    assert_eq!(taken, chunk.len());
                    ends += usize::from(end.is_some_and(|head| head.length == Some(length)));
                }
                assert!(ends == 1 && !receiving.is_under_way(), "{length} in pieces of {size}");
            }
        }
    }

    #[test]
    fn messages_in_one_piece_are_taken_one_by_one() {
        let (body, mut receiving) = (Body::new(), Receiving::new(false));
        let text = b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nxxGET /b HTTP/1.1\r\n\r\n";
        let (first, head) = receiving.take(text, &body).unwrap();
        assert!(head.is_some());
        let (second, head) = receiving.take(&text[first..], &body).unwrap();
        assert!(head.is_some() && first + second == text.len());
    }

    #[test]
    fn a_wrong_byte_is_found_and_a_skipped_one_counts() {
        let body = Body::new();
        let mut receiving = Receiving::new(true);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(receiving.take(head, &body), Ok((head.len(), None)));
        assert_eq!((receiving.rest(), receiving.count(2)), (5, None));
        assert_eq!(receiving.take(b"\0", &body), Err("wrong content"));
        assert_eq!(receiving.take(body.piece(2, 3), &body).unwrap().1.map(|head| head.status), Some(200));
    }
}
