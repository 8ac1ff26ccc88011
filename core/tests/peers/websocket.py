"""A WebSocket's two ends on the package websockets, for tests.

    websocket.py serve        sends every message back; listens on a free port of 127.0.0.1, prints the port, and ends when its
                              standard input does; prints "closed CODE" for every connection that ends
    websocket.py ask URL      sends messages of many sizes, up to 16 MiB, and pings; prints "ok", waits for the end, and prints
                              "closed CODE"
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20, 16 << 20]
# Frames of all kinds come back unchanged; compression would make large messages small.
OPTIONS = {"max_size": None, "compression": None, "ping_interval": None, "open_timeout": 20, "close_timeout": 20}


def say(*words):
    print(*words, flush=True)


async def echo(connection):
    try:
        while True:
            await connection.send(await connection.recv())
    except ConnectionClosed:
        say("closed", connection.close_code)


async def run_server():
    async with serve(echo, "127.0.0.1", 0, **OPTIONS) as server:
        say(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def run_client(url):
    async with connect(url, **OPTIONS) as connection:
        for size in SIZES:
            message = bytes(n % 251 for n in range(min(size, 1 << 16))) * (max(size >> 16, 1))
            await connection.send(message)
            assert await connection.recv() == message, size
        pieces = ["a", "frame", "in", "pieces"]
        await connection.send(pieces)
        assert await connection.recv() == "".join(pieces)
        await asyncio.wait_for(await connection.ping(), 20)
        say("ok")
        try:
            await asyncio.wait_for(connection.recv(), 20)
        except ConnectionClosed:
            say("closed", connection.close_code)


asyncio.run(run_server() if sys.argv[1] == "serve" else run_client(sys.argv[2]))
