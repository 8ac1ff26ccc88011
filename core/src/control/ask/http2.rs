//! One question on an HTTP/2 connection: a GET, or a call of the standard gRPC health protocol.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringway_http::grpc::health::{self, Serving};
use ringway_http::grpc::{status, timeout};
use ringway_http::h2::{Body, Bytes, Client, Outgoing, Response, Scheme, Settings};
use ringway_http::{Fields, Framing, Limits, ResponseHead};

use super::{CLOSED, Link, fields, text};
use crate::net::Buffers;

/// The status of the answer to a GET.
pub(super) async fn status(link: Link<'_>, path: &str) -> Result<u16, String> {
    let fields = fields(&[("Accept", b"*/*")]);
    let request = Outgoing { path, fields: &fields, ..outgoing(&link) };
    converse(link, &request, Vec::new(), async |response| Ok(head(response).await?.0.status)).await
}

/// Asks about a service by gRPC. All but `SERVING` is an error.
pub(super) async fn call(link: Link<'_>, service: &str) -> Result<(), String> {
    let (mut left, mut message) = (Vec::new(), Vec::new());
    timeout::write(link.wanted.check.timeout, &mut left);
    health::write_request(service, &mut message).map_err(text)?;
    let fields = fields(&[("Content-Type", b"application/grpc"), ("grpc-timeout", &left)]);
    let request = Outgoing {
        method: "POST",
        path: health::PATH,
        fields: &fields,
        te_trailers: true,
        ..outgoing(&link)
    };
    converse(link, &request, message, outcome).await
}

/// A GET without a path, for what differs to be put in.
fn outgoing<'a>(link: &Link<'a>) -> Outgoing<'a> {
    const NONE: &Fields = &Fields::new();
    Outgoing {
        method: "GET",
        scheme: if link.wanted.tls.is_some() { Scheme::Https } else { Scheme::Http },
        authority: &link.wanted.host,
        path: "/",
        fields: NONE,
        framing: Framing::None,
        te_trailers: false,
        protocol: None,
    }
}

/// Sends a request, and carries bytes to and fro until `answer` has read of the response what it wants.
async fn converse<T>(
    mut link: Link<'_>,
    request: &Outgoing<'_>,
    body: Vec<u8>,
    answer: impl AsyncFnOnce(Response) -> Result<T, String>,
) -> Result<T, String> {
    let settings = Settings::default().with_heads(&Limits::default());
    let (mut machine, requests) = Client::<Bytes>::new(&settings).map_err(text)?;
    let (response, mut outbound) = requests.send(request, body.is_empty()).map_err(text)?;
    if !body.is_empty() {
        // What is over a window waits in memory: it is short.
        outbound.send(Bytes::from(body), true).map_err(text)?;
    }
    let mut answer = pin!(answer(response));
    let outcome = loop {
        flush(&mut link, &mut machine).await?;
        // Nobody needs to be woken: whatever comes is fed below, and all is asked again after it.
        if let Poll::Ready(outcome) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break outcome;
        }
        if machine.is_closed() {
            break Err(CLOSED.to_owned());
        }
        match link.reader.recv(&link.deadline).await.map_err(text)? {
            Some(bytes) => {
                let now = Duration::from_nanos(link.tools.clock.now().0);
                machine.feed(bytes.filled(), now).map_err(text)?;
            }
            None => machine.end_of_input(),
        }
    };
    drop((requests, outbound));
    // A word of farewell. The answer stands whether it arrives or not.
    let _ = flush(&mut link, &mut machine).await;
    outcome
}

/// Advances the machine until it has nothing more to say.
async fn flush(link: &mut Link<'_>, machine: &mut Client<Bytes>) -> Result<(), String> {
    loop {
        // How the connection ended, its one stream says as well.
        let _ = machine.poll(&mut Context::from_waker(Waker::noop()));
        if machine.output_len() == 0 {
            return Ok(());
        }
        let mut output = link.tools.buffers.take(Buffers::SMALL);
        machine.take_output(output.append());
        link.writer.send(output, &link.deadline).await.map_err(text)?;
    }
}

/// The final head, and what follows it.
async fn head(mut response: Response) -> Result<(ResponseHead, Body), String> {
    let (limits, mut head) = (Limits::default(), ResponseHead::new());
    let body = poll_fn(|cx| response.poll(cx, &limits, &mut head)).await.map_err(text)?;
    Ok((head, body))
}

/// The outcome of a call.
async fn outcome(response: Response) -> Result<(), String> {
    const BYTES_MAX: usize = health::PREFIX_BYTES + health::MESSAGE_BYTES_MAX;
    let (head, mut body) = head(response).await?;
    if head.status != 200 {
        return Err(format!("status {}", head.status));
    }
    let mut message = Vec::new();
    while let Some(data) = poll_fn(|cx| body.poll_data(cx)).await {
        let data = data.map_err(text)?;
        // Far less than a window: none of it has to be given back.
        if message.len() + data.len() > BYTES_MAX {
            return Err(health::HealthError::TooLong.to_string());
        }
        message.extend_from_slice(&data);
    }
    let mut trailers = Fields::new();
    poll_fn(|cx| body.poll_trailers(cx, &Limits::default(), &mut trailers)).await.map_err(text)?;
    // A call that fails at once says so in its head.
    let said = trailers.value("grpc-status").or_else(|| head.fields.value("grpc-status"));
    judge(said, &message)
}

fn judge(said: Option<&[u8]>, message: &[u8]) -> Result<(), String> {
    let said = said.ok_or("the answer has no grpc-status")?;
    let code: u32 = std::str::from_utf8(said)
        .ok()
        .and_then(|said| said.parse().ok())
        .ok_or("the answer's grpc-status is no number")?;
    if code != 0 {
        return Err(match status::name(code) {
            Some(name) => format!("gRPC status {code}, {name}"),
            None => format!("gRPC status {code}"),
        });
    }
    let serving = health::read_response(message).map_err(text)?;
    if serving == Serving::Serving { Ok(()) } else { Err(format!("it is {serving}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_that_went_well_and_says_serving_is_well() {
        let says = |serving| {
            let mut message = Vec::new();
            health::write_response(serving, &mut message).unwrap();
            message
        };
        let (serving, compressed) = (says(Serving::Serving), vec![1, 0, 0, 0, 0]);
        let judged = |said: Option<&str>, message: &[u8]| judge(said.map(str::as_bytes), message);
        assert_eq!(judged(Some("0"), &serving), Ok(()));
        for (said, message, expected) in [
            (Some("0"), &says(Serving::NotServing), "it is NOT_SERVING"),
            (Some("0"), &says(Serving::Unknown), "it is UNKNOWN"),
            (Some("0"), &says(Serving::ServiceUnknown), "it is SERVICE_UNKNOWN"),
            (Some("0"), &says(Serving::Other(9)), "it is 9"),
            (Some("0"), &Vec::new(), "the message is not as long as it says"),
            (Some("0"), &[&serving[..], &serving].concat(), "the message is not as long as it says"),
            (Some("0"), &compressed, "the message is compressed"),
            (Some("5"), &serving, "gRPC status 5, NOT_FOUND"),
            (Some("99"), &serving, "gRPC status 99"),
            (Some("-1"), &serving, "the answer's grpc-status is no number"),
            (Some("\u{ff}"), &serving, "the answer's grpc-status is no number"),
            (None, &serving, "the answer has no grpc-status"),
        ] {
            assert_eq!(judged(said, message), Err(expected.to_owned()), "{said:?} {message:?}");
        }
    }
}
