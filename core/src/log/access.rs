//! The access log: a worker formats a line into its batch; a helper thread writes batches. A worker never waits: what does not fit is
//! dropped and counted.

use std::net::IpAddr;

use ringway_config::snapshot::AccessSink;

/// When each stage of an exchange ended, in microseconds since the head's first byte; `None`: it did not happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stages {
    /// The head was complete.
    pub head_us: u32,
    /// Route found and request filters done.
    pub filters_us: u32,
    /// A connection to the endpoint was at hand (pooled or new).
    pub connect_us: Option<u32>,
    /// The request was handed to the endpoint: head, and the body if it was there.
    pub sent_us: Option<u32>,
    /// The response head had come.
    pub first_byte_us: Option<u32>,
    /// All was done.
    pub total_us: u32,
}

/// What an access line says.
#[derive(Debug, Clone, Copy)]
pub struct AccessRecord<'a> {
    /// The request id.
    pub request_id: &'a str,
    /// The client's address.
    pub client_ip: IpAddr,
    /// The listener's name.
    pub listener: &'a str,
    /// The method.
    pub method: &'a str,
    /// The target as sent.
    pub target: &'a str,
    /// The host.
    pub host: &'a str,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub protocol: &'static str,
    /// The route, or empty.
    pub route: &'a str,
    /// The upstream, or empty.
    pub upstream: &'a str,
    /// The endpoint of the last attempt, or empty.
    pub endpoint: &'a str,
    /// How many attempts.
    pub attempts: u32,
    /// The status sent; 0 when none was.
    pub status: u16,
    /// The reason word, when the gateway answered itself or cut the exchange.
    pub reason: Option<&'static str>,
    /// Request bytes, head included.
    pub bytes_in: u64,
    /// Response bytes, head included.
    pub bytes_out: u64,
    /// `User-Agent`.
    pub user_agent: &'a [u8],
    /// `Referer`.
    pub referer: &'a [u8],
    /// The stages.
    pub stages: Stages,
}

/// A worker's end of the access log.
#[derive(Debug)]
pub struct AccessLog {
    _private: (),
}

/// The writer thread's handle.
#[derive(Debug)]
pub struct AccessWriter {
    _private: (),
}

impl AccessWriter {
    /// Starts the helper thread for a sink.
    pub fn start(_sink: &AccessSink) -> std::io::Result<Self> {
        todo!()
    }
    /// A worker's end; `Send`.
    pub fn log(&self) -> AccessLog {
        todo!()
    }
}

impl AccessLog {
    /// Adds a line to the batch; hands the batch over when it is full. Says how many lines were dropped.
    pub fn write(&mut self, _record: &AccessRecord<'_>) -> u32 {
        todo!()
    }
    /// Hands the batch over; called by the worker some ten times a second and at its end. Says how many lines were dropped.
    pub fn flush(&mut self) -> u32 {
        todo!()
    }
}
