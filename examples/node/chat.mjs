#!/usr/bin/env node
// Says something through holdline and prints what is said. Node alone is all it takes.
//
//     node chat.mjs TEXT [EVENTS]      ends after so many events; without it, never

import net from "node:net";
import readline from "node:readline";

const runtime = process.env.XDG_RUNTIME_DIR ?? `/run/user/${process.getuid()}`;
const path = process.env.HOLDLINE_SOCKET ?? `${runtime}/holdline/default.sock`;
const [text = "Hello!", events = Infinity] = process.argv.slice(2);

const socket = net.connect(path);
const waiting = new Map();
let lastId = 0;

function call(method, params) {
  const id = ++lastId;
  socket.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

let seen = 0;
function note(method, params) {
  if (method !== "event") return;
  const { seq, type, data } = params.event;
  // Fleeting events have no number: they are told once and never again.
  console.log(seq === null ? "…" : `#${seq}`, type, JSON.stringify(data));
  if (++seen >= Number(events)) socket.end();
}

readline.createInterface({ input: socket }).on("line", (line) => {
  const { id, result, error, method, params } = JSON.parse(line);
  if (method) return note(method, params);
  const call = waiting.get(id);
  waiting.delete(id);
  if (error) call.reject(new Error(error.message));
  else call.resolve(result);
});
socket.on("error", (error) => {
  console.error(`no holdline at ${path}: ${error.message}`);
  process.exitCode = 3;
});

await call("events.subscribe", { types: ["chat", "typing"], from: "now" });
// Waits until the server has it; without `wait` the answer comes when it is on disk.
const receipt = await call("messages.send", { type: "chat", data: { text }, wait: "accepted" });
console.log("the server has", receipt.id);
