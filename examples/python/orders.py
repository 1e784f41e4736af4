#!/usr/bin/env python3
"""Places an order and follows it through holdline. Python's standard library is all it takes.

    python3 orders.py [EVENTS]      ends after so many events; without it, never
"""

import json
import os
import socket
import sys


def socket_path():
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.environ.get("HOLDLINE_SOCKET") or f"{runtime}/holdline/default.sock"


class Holdline:
    """One connection: a line out for each call, lines in for answers and events."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")
        self.last_id = 0
        self.notes = []

    def write(self, **message):
        self.socket.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def read(self):
        return json.loads(self.lines.readline() or sys.exit("holdline has hung up"))

    def call(self, method, **params):
        self.last_id += 1
        self.write(id=self.last_id, method=method, params=params)
        while (answer := self.read()).get("id") != self.last_id:
            self.notes.append(answer)
        if "error" in answer:
            sys.exit(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def notifications(self):
        while True:
            yield self.notes.pop(0) if self.notes else self.read()


holdline = Holdline(socket_path())
wanted = int(sys.argv[1]) if len(sys.argv) > 1 else None

# The answer comes when the message is on disk. From here on it is holdline's business.
receipt = holdline.call("messages.send", type="place_order", data={"orderId": f"py-{os.getpid()}"})
print("queued as", receipt["id"])

# "orders-example" is a durable place: run this again, and it goes on where it was.
holdline.call("events.subscribe", types=["order_*"], cursor="orders-example", ack="manual")
for note in holdline.notifications():
    params = note["params"]
    if note["method"] == "event":
        event = params["event"]
        print(f"#{event['seq']}", event["type"], json.dumps(event["data"]), flush=True)
        holdline.call("events.ack", cursor="orders-example", seq=event["seq"])
        wanted = wanted and wanted - 1
        if wanted == 0:
            break
    elif note["method"] == "gap":
        print(f"#{params['from']}–#{params['to']} are missing: {params['reason']}", flush=True)
