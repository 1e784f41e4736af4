// An app on npm's `vscode-jsonrpc`, which frames messages by `Content-Length:` headers.
//
//     node app_vscode_jsonrpc.mjs SOCKET send KIND PREFIX COUNT
//     node app_vscode_jsonrpc.mjs SOCKET listen CURSOR COUNT
//
// Does the same as app_stdlib.py, in the same words.

import net from "node:net";
import * as rpc from "vscode-jsonrpc/node";

const [path, verb, ...args] = process.argv.slice(2);
const socket = net.connect(path);
const connection = rpc.createMessageConnection(
  new rpc.StreamMessageReader(socket),
  new rpc.StreamMessageWriter(socket),
);
connection.listen();

function body(kind, prefix, number) {
  const text = `${prefix}-${number}`;
  if (kind === "json") return { type: "note", data: { n: number, from: prefix } };
  if (kind === "text") return { text };
  return { binary: { encoding: "base64", data: Buffer.from(text).toString("base64") } };
}

async function send(kind, prefix, count) {
  const receipts = [];
  for (let number = 0; number < count; number++) {
    receipts.push(connection.sendRequest("messages.send", body(kind, prefix, number)));
  }
  console.log(JSON.stringify((await Promise.all(receipts)).map((receipt) => receipt.id)));
}

async function listen(cursor, count) {
  let done;
  const all = new Promise((resolve) => (done = resolve));
  connection.onNotification("event", ({ event }) => {
    console.log(JSON.stringify(event));
    if (--count === 0) done(event.seq);
    else connection.sendNotification("events.ack", { cursor, seq: event.seq });
  });
  connection.onNotification("gap", (gap) => console.log(JSON.stringify({ gap })));
  const subscribed = await connection.sendRequest("events.subscribe", { cursor, ack: "manual" });
  console.log(JSON.stringify({ subscribed }));
  await connection.sendRequest("events.ack", { cursor, seq: await all });
}

try {
  if (verb === "send") await send(args[0], args[1], Number(args[2]));
  else await listen(args[0], Number(args[1]));
  connection.dispose();
  socket.end();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
