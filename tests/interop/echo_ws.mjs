// A server on npm's `ws`: records every frame in a file, then sends it back.
//
//     node echo_ws.mjs PORT RECORD
//
// A JSON object with a `messageId` is acknowledged once it is in the record. SIGTERM ends it after
// everything it has read is in the record; SIGKILL ends it at once. Prints the port it listens on.

import fs from "node:fs";
import { WebSocketServer } from "ws";

const [port, recordPath] = process.argv.slice(2);
const record = fs.openSync(recordPath, "a", 0o600);

function messageId(text) {
  try {
    return JSON.parse(text)?.messageId;
  } catch {
    return undefined;
  }
}

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port) });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    const line = isBinary ? { binary: data.toString("hex") } : { text: data.toString() };
    fs.writeSync(record, JSON.stringify(line) + "\n");
    const id = isBinary ? undefined : messageId(line.text);
    if (id !== undefined) socket.send(JSON.stringify({ type: "ack", messageId: id }));
    socket.send(data, { binary: isBinary });
  });
});

process.on("SIGTERM", () => {
  for (const socket of server.clients) socket.close(1001);
  server.close(() => process.exit(0));
});
