"""A server on PyPI's `websockets`: records every frame in a file, then sends it back.

    echo_websockets.py PORT RECORD

A JSON object with a `messageId` is acknowledged once it is in the record. SIGTERM ends it after
everything it has read is in the record; SIGKILL ends it at once. Prints the port it listens on.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def message_id(frame):
    """The id in a JSON object; None for any other frame."""
    if isinstance(frame, bytes):
        return None
    try:
        message = json.loads(frame)
    except ValueError:
        return None
    return message.get("messageId") if isinstance(message, dict) else None


async def main(port, record_path):
    record = os.open(record_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def echo(connection):
        async for frame in connection:
            line = {"binary": frame.hex()} if isinstance(frame, bytes) else {"text": frame}
            os.write(record, json.dumps(line).encode() + b"\n")
            if stop.is_set():
                # Only what has been read already is still recorded: a send would wait for the
                # end of the connection, which waits for the frames before it to be taken.
                continue
            ident = message_id(frame)
            with contextlib.suppress(ConnectionClosed):
                if ident is not None:
                    await connection.send(json.dumps({"type": "ack", "messageId": ident}))
                await connection.send(frame)

    async with serve(echo, "127.0.0.1", port) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
