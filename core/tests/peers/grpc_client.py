"""A gRPC client on grpcio, for tests: the side before the gateway.

    grpc_client.py ADDRESS [--ca FILE] [--name NAME] call METHOD [MESSAGE...] [--timeout SECONDS] [--metadata NAME=VALUE]
        One call, as a stream of the messages; prints what came of it as one line of JSON: code, details, messages,
        initial, trailing, seconds.
    grpc_client.py ADDRESS [--ca FILE] [--name NAME] check [CASE...]
        The cases below, or those named, against grpc_server.py; prints a line for each and fails if one fails.

--ca FILE: over TLS, with these authorities. --name NAME: the authority that is asked for, instead of the address.
"""

import argparse
import json
import sys
import threading
import time

import grpc

PATIENCE = 20


class Peer:
    """The service, through whatever is at the address."""

    def __init__(self, channel):
        self.channel = channel

    def unary(self, method, message=b"", **options):
        options.setdefault("timeout", PATIENCE)
        return self.channel.unary_unary(method)(message, **options)

    def stream(self, method, messages, **options):
        options.setdefault("timeout", PATIENCE)
        return self.channel.stream_stream(method)(iter(messages), **options)


def refused(act):
    """The error that a call must end with."""
    try:
        act()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def equal(found, wanted):
    assert found == wanted, f"{found!r:.200} instead of {wanted!r:.200}"


def unary(peer):
    for size in (0, 1, 100, 70_000, 3_000_000):
        equal(peer.unary("/ringway.Test/Unary", b"u" * size), b"u" * size)


def client_stream(peer):
    call = peer.channel.stream_unary("/ringway.Test/Collect")
    equal(call(iter([b"x" * 1000] * 500), timeout=PATIENCE), b"500 500000")
    equal(call(iter([]), timeout=PATIENCE), b"0 0")


def server_stream(peer):
    call = peer.channel.unary_stream("/ringway.Test/Produce")
    equal([len(message) for message in call(b"500 1000", timeout=PATIENCE)], [1000] * 500)
    equal([len(message) for message in call(b"3 1000000", timeout=PATIENCE)], [1000000] * 3)
    equal(list(call(b"0 0", timeout=PATIENCE)), [])


def bidirectional(peer):
    """Each message is sent when the last has come back: nothing on the way may collect them."""
    came = threading.Semaphore(1)

    def messages():
        for number in range(100):
            assert came.acquire(timeout=PATIENCE), "a message did not come back"
            yield f"{number}".encode()

    back = []
    for message in peer.stream("/ringway.Test/Chat", messages()):
        back.append(message)
        came.release()
    equal(back, [f"{number}".encode() for number in range(100)])


def metadata(peer):
    call = peer.channel.unary_unary("/ringway.Test/Metadata")
    sent = (("x-sent", "one"), ("x-sent-bin", b"\x00\x01\xfe"))
    message, ended = call.with_call(b"", metadata=sent, timeout=PATIENCE)
    lines = message.decode().split("\n")
    assert "x-sent: one" in lines and "x-sent-bin: 0001fe" in lines, lines
    initial, trailing = dict(ended.initial_metadata()), dict(ended.trailing_metadata())
    equal((initial.get("x-initial"), initial.get("x-initial-bin")), ("first", b"\x00\xff"))
    equal((trailing.get("x-trailing"), trailing.get("x-trailing-bin")), ("last", b"\xff\x00"))


def statuses(peer):
    call = peer.channel.unary_stream("/ringway.Test/Fail")
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        for before in (0, 2):
            got = []
            message = f"{code.name} it is 100 % the pear's: \u00fc|{before}".encode()
            error = refused(lambda: got.extend(call(message, timeout=PATIENCE)))
            equal((error.code(), error.details()), (code, "it is 100 % the pear's: \u00fc"))
            equal((len(got), dict(error.trailing_metadata()).get("x-trailing")), (before, "last"))
    equal(refused(lambda: peer.unary("/ringway.Test/Nothing")).code(), grpc.StatusCode.UNIMPLEMENTED)


def deadline(peer):
    left = float(peer.unary("/ringway.Test/Deadline", timeout=15))
    assert 5 < left < 16, left  # It is rounded up on its way.
    start = time.monotonic()
    error = refused(lambda: peer.unary("/ringway.Test/Wait", timeout=0.5))
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    took = time.monotonic() - start
    assert 0.4 < took < 10, took


def cancel(peer):
    """A call that is given up is given up at the service too."""

    def counts():
        return [int(word) for word in peer.unary("/ringway.Test/Waits").split()]

    (begun, cancelled), until = counts(), time.monotonic() + PATIENCE
    call = peer.channel.unary_unary("/ringway.Test/Wait").future(b"", timeout=PATIENCE)
    while counts()[0] == begun:
        assert time.monotonic() < until, "the call does not reach the service"
        time.sleep(0.01)
    call.cancel()
    while counts()[1] == cancelled:
        assert time.monotonic() < until, "the service does not hear of it"
        time.sleep(0.01)


def health(peer):
    check = "/grpc.health.v1.Health/Check"
    equal(peer.unary(check), b"\x08\x01")
    equal(refused(lambda: peer.unary(check, b"\x0a\x07unknown")).code(), grpc.StatusCode.NOT_FOUND)
    peer.unary("/ringway.Test/Serve", b"some 2")
    equal(peer.unary(check, b"\x0a\x04some"), b"\x08\x02")
    watch = peer.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\x0a\x04some", timeout=PATIENCE)
    equal(next(watch), b"\x08\x02")
    peer.unary("/ringway.Test/Serve", b"some 1")
    equal(next(watch), b"\x08\x01")
    watch.cancel()


def many(peer):
    """More calls at a time than a connection may have streams, each with an answer of its own."""
    call = peer.channel.unary_unary("/ringway.Test/Unary")
    calls = [call.future(f"{number}".encode(), timeout=PATIENCE) for number in range(300)]
    equal([ended.result() for ended in calls], [f"{number}".encode() for number in range(300)])


CASES = [
    unary, client_stream, server_stream, bidirectional, metadata, statuses, deadline, cancel, health, many,
]  # fmt: skip


def one_call(peer, words):
    """What comes of one call, whatever its kind is."""
    sent = [(name, value) for name, _, value in (pair.partition("=") for pair in words.metadata)]
    start, messages = time.monotonic(), []
    call = peer.stream(
        words.method, [word.encode() for word in words.message], timeout=words.timeout, metadata=sent
    )
    try:
        messages.extend(message.decode("latin-1") for message in call)
    except grpc.RpcError:
        pass
    print(
        json.dumps(
            {
                "code": call.code().name,
                "details": call.details(),
                "messages": messages,
                "initial": {name: str(value) for name, value in call.initial_metadata() or ()},
                "trailing": {name: str(value) for name, value in call.trailing_metadata() or ()},
                "seconds": time.monotonic() - start,
            }
        )
    )
    return 0


def check(peer, names):
    failed = 0
    for case in CASES:
        if names and case.__name__ not in names:
            continue
        try:
            case(peer)
            print(f"ok {case.__name__}", flush=True)
        except (AssertionError, grpc.RpcError, StopIteration) as error:
            failed += 1
            why = f"{error.code()}: {error.details()}" if isinstance(error, grpc.RpcError) else repr(error)
            print(f"FAILED {case.__name__}: {why}", flush=True)
    unknown = set(names) - {case.__name__ for case in CASES}
    assert not unknown, f"unknown cases: {unknown}"
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--ca")
    parser.add_argument("--name")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("call")
    verb.add_argument("method")
    verb.add_argument("message", nargs="*")
    verb.add_argument("--timeout", type=float, default=PATIENCE)
    verb.add_argument("--metadata", action="append", default=[])
    verbs.add_parser("check").add_argument("case", nargs="*")
    words = parser.parse_args()

    options = [("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0)]
    if words.name:
        over_tls = "grpc.ssl_target_name_override" if words.ca else "grpc.default_authority"
        options.append((over_tls, words.name))
    if words.ca:
        with open(words.ca, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(words.address, credentials, options)
    else:
        channel = grpc.insecure_channel(words.address, options)
    with channel:
        peer = Peer(channel)
        return one_call(peer, words) if words.verb == "call" else check(peer, words.case)


sys.exit(main())
