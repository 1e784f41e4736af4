// A server on npm's socket.io: `node socketio.mjs PORT FOLDER`.
//
// FOLDER/token is who may sign in (anybody where it is missing), FOLDER/received gets a line for each
// message, FOLDER/head says how many events there are. `POST /push?to=N` makes it N, `POST /ask` sends an
// event that wants an acknowledgement, `POST /file` one with two attachments, `POST /kick` puts everybody
// out of the namespace. FOLDER/acks gets a line for each acknowledgement. With FOLDER/forgetful it
// recovers nothing, with FOLDER/old it speaks as Socket.IO 2 does.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { WebSocketServer } from 'ws';

const [port, folder] = process.argv.slice(2);
const file = (name) => `${folder}/${name}`;
const read = (name) => (existsSync(file(name)) ? readFileSync(file(name), 'utf8').trim() : undefined);
const note = (name, value) => appendFileSync(file(name), `${JSON.stringify(value)}\n`);

let head = Number(read('head') ?? 0);

const http = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/push') {
    const to = Number(url.searchParams.get('to'));
    for (; head < to; head++) io.emit('order', { n: head, text: `order ${head}` });
    writeFileSync(file('head'), String(head));
  } else if (url.pathname === '/ask') {
    io.timeout(20000).emit('ask', { question: 1 }, (error, answers) => note('acks', { error: !!error, answers }));
  } else if (url.pathname === '/file') {
    io.of('/files').emit('file', { parts: [Buffer.from([0, 255]), Buffer.from('hi')] });
  } else if (url.pathname === '/kick') {
    io.disconnectSockets();
  }
  response.end();
});

const io = new Server(http, {
  maxHttpBufferSize: 10000,
  ...(existsSync(file('forgetful')) ? {} : { connectionStateRecovery: {} }),
});
const sign_in = (socket, next) => {
  const token = read('token');
  const fits = token === undefined || socket.handshake.auth.token === token;
  next(fits ? undefined : Object.assign(new Error('not authorized'), { data: { code: 401 } }));
};
for (const name of ['/', '/files']) {
  io.of(name).use(sign_in);
  io.of(name).on('connection', (socket) => {
    socket.on('say', ({ n }, id, answer) => {
      note('received', { n, id });
      answer({ n });
    });
    socket.on('refuse', (_, id, answer) => answer({ error: 'the shop is closed' }));
    socket.on('mirror', (data, id, answer) => answer({ back: data.file, bytes: data.file.length }));
    socket.on('silent', ({ n }, id) => note('received', { n, id }));
  });
}
if (existsSync(file('old'))) {
  // What Socket.IO 2 says of itself (Engine.IO 3), whatever it is told.
  io.close();
  const sockets = new WebSocketServer({ port: Number(port), host: '127.0.0.1' });
  sockets.on('connection', (socket) => {
    note('dials', Date.now());
    socket.send('0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":5000}');
    socket.send('40');
  });
} else {
  http.listen(Number(port), '127.0.0.1');
}
