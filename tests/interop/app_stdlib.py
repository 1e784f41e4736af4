"""An app on Python's standard library alone.

    app_stdlib.py SOCKET send KIND PREFIX COUNT
    app_stdlib.py SOCKET listen CURSOR COUNT

`send` hands in COUNT messages, each with its own number, KIND being json, text or binary, many at
a time, and prints the ids of the receipts. `listen` prints every event (and every gap) as a line
of JSON, acknowledges it, and ends after COUNT events.
"""

import base64
import json
import socket
import sys

# Requests on their way before the first receipt is waited for.
PIPELINE = 100


def body(kind, prefix, number):
    text = f"{prefix}-{number}"
    if kind == "json":
        return {"type": "note", "data": {"n": number, "from": prefix}}
    if kind == "text":
        return {"text": text}
    return {"binary": {"encoding": "base64", "data": base64.b64encode(text.encode()).decode()}}


def main(path, verb, *args):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    lines = connection.makefile("r", encoding="utf-8", newline="\n")

    def write(message):
        connection.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def read():
        line = lines.readline()
        if not line:
            sys.exit("the daemon closed the connection")
        message = json.loads(line)
        if "error" in message:
            sys.exit(json.dumps(message["error"]))
        return message

    if verb == "send":
        kind, prefix, count = args[0], args[1], int(args[2])
        receipts = {}
        for number in range(count):
            write({"id": number, "method": "messages.send", "params": body(kind, prefix, number)})
            while number + 1 - len(receipts) >= PIPELINE or (number + 1 == count and len(receipts) < count):
                answer = read()
                receipts[answer["id"]] = answer["result"]["id"]
        print(json.dumps([receipts[number] for number in range(count)]))
    else:
        cursor, count = args[0], int(args[1])
        write({"id": 0, "method": "events.subscribe", "params": {"cursor": cursor, "ack": "manual"}})
        while count > 0:
            message = read()
            if message.get("id") == 0:
                print(json.dumps({"subscribed": message["result"]}), flush=True)
                continue
            params = message["params"]
            if message["method"] == "event":
                event = params["event"]
                print(json.dumps(event), flush=True)
                write({"method": "events.ack", "params": {"cursor": cursor, "seq": event["seq"]}})
                count -= 1
            elif message["method"] == "gap":
                print(json.dumps({"gap": params}), flush=True)
        write({"id": 1, "method": "events.ack", "params": {"cursor": cursor, "seq": event["seq"]}})
        while read().get("id") != 1:
            pass


main(*sys.argv[1:])
