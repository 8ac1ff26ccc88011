"""A gRPC service on grpcio, for tests: the side behind the gateway.

It has no generated code: messages are bytes, and a payload says what to do. It listens on a free port of 127.0.0.1, prints
the port, and ends when its standard input does, so that it never outlives a test.

    grpc_server.py [KEY CERTIFICATE]        with both, TLS

Methods of ringway.Test:
    Unary     one message back, the same
    Collect   a client's stream; back come the number of its messages and of their bytes
    Produce   "COUNT SIZE": so many messages of that size
    Chat      each message back as it comes
    Metadata  the call's metadata as lines "name: value", binary values in hexadecimal; sends initial and trailing metadata
    Fail      "CODE DETAILS": that status; with "CODE DETAILS|N" it sends N messages first
    Deadline  the seconds that are left for the call, or "none"
    Wait      never answers; when the call is cancelled, it is counted
    Waits     how many calls of Wait have begun and how many were cancelled
and of grpc.health.v1.Health: Check and Watch; Serve "NAME STATUS" of ringway.Test sets the status of a service.
"""

import sys
import threading
from concurrent import futures

import grpc


class Service(grpc.GenericRpcHandler):
    """All methods, found by their path."""

    def __init__(self):
        self.lock = threading.Condition()
        self.begun = 0
        self.cancelled = 0
        self.health = {"": 1}

    def service(self, details):
        one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        handlers = {
            "/ringway.Test/Unary": lambda: one(lambda message, context: message),
            "/ringway.Test/Collect": lambda: grpc.stream_unary_rpc_method_handler(self.collect),
            "/ringway.Test/Produce": lambda: many(self.produce),
            "/ringway.Test/Chat": lambda: grpc.stream_stream_rpc_method_handler(lambda messages, context: messages),
            "/ringway.Test/Metadata": lambda: one(self.metadata),
            "/ringway.Test/Fail": lambda: many(self.fail),
            "/ringway.Test/Deadline": lambda: one(self.deadline),
            "/ringway.Test/Wait": lambda: one(self.wait),
            "/ringway.Test/Waits": lambda: one(lambda message, context: f"{self.begun} {self.cancelled}".encode()),
            "/ringway.Test/Serve": lambda: one(self.serve),
            "/grpc.health.v1.Health/Check": lambda: one(self.check),
            "/grpc.health.v1.Health/Watch": lambda: many(self.watch),
        }
        make = handlers.get(details.method)
        return make() if make else None

    def collect(self, messages, context):
        count = size = 0
        for message in messages:
            count, size = count + 1, size + len(message)
        return f"{count} {size}".encode()

    def produce(self, message, context):
        count, size = (int(word) for word in message.split())
        for _ in range(count):
            yield b"x" * size

    def metadata(self, message, context):
        lines = []
        for name, value in context.invocation_metadata():
            text = value.hex() if isinstance(value, bytes) else value
            lines.append(f"{name}: {text}")
        context.send_initial_metadata((("x-initial", "first"), ("x-initial-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-trailing", "last"), ("x-trailing-bin", b"\xff\x00")))
        return "\n".join(lines).encode()

    def fail(self, message, context):
        text, _, first = message.decode().partition("|")
        code, _, details = text.partition(" ")
        for _ in range(int(first or 0)):
            yield b"before"
        context.set_trailing_metadata((("x-trailing", "last"),))
        context.abort(grpc.StatusCode[code], details)

    def deadline(self, message, context):
        left = context.time_remaining()
        return b"none" if left is None else f"{left:.3f}".encode()

    def wait(self, message, context):
        ended = threading.Event()
        if context.add_callback(ended.set):
            with self.lock:
                self.begun += 1
            ended.wait(60)
            with self.lock:
                self.cancelled += 1
        return b""

    def serve(self, message, context):
        name, status = message.decode().rsplit(" ", 1)
        with self.lock:
            self.health[name] = int(status)
            self.lock.notify_all()
        return b""

    def check(self, message, context):
        status = self.health.get(named(message))
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return bytes([0x08, status])

    def watch(self, message, context):
        name, last = named(message), None
        context.add_callback(self.wake)
        while context.is_active():
            with self.lock:
                status = self.health.get(name, 3)
                if status == last:
                    self.lock.wait(1)
                    continue
            last = status
            yield bytes([0x08, status])

    def wake(self):
        with self.lock:
            self.lock.notify_all()


def named(message):
    """The service of a HealthCheckRequest: field 1, a string of less than 128 bytes; without it, the server."""
    return message[2 : 2 + message[1]].decode() if message[:1] == b"\x0a" else ""


def main():
    # It must not share its port with another test's, which is what it would do.
    options = (("grpc.so_reuseport", 0),)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), handlers=(Service(),), options=options)
    if len(sys.argv) == 3:
        key, certificate = (open(name, "rb").read() for name in sys.argv[1:])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


main()
