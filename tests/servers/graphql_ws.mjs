// A server on npm's graphql-ws: `node graphql_ws.mjs PORT FOLDER`.
//
// FOLDER/token is who may sign in (anybody where it is missing), FOLDER/received gets a line for each
// mutation, FOLDER/head says how many events there are. `POST /push?to=N` makes it N, `POST /kick`
// closes every connection as an operator would.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

const [port, folder] = process.argv.slice(2);
const file = (name) => `${folder}/${name}`;
const read = (name) => (existsSync(file(name)) ? readFileSync(file(name), 'utf8').trim() : undefined);

let head = Number(read('head') ?? 0);
let waiting = [];

async function* orders(after) {
  for (let seq = after + 1; ; seq++) {
    while (seq > head) await new Promise((wake) => waiting.push(wake));
    yield { order: { seq, text: `order ${seq}` } };
  }
}

const schema = buildSchema(`
  type Query { head: Int! }
  type Order { seq: Int!, text: String! }
  type Subscription { order(after: Int): Order! }
  type Mutation { say(n: Int!, text: String): Int!, refuse: Int! }
`);

const roots = {
  query: { head: () => head },
  mutation: {
    say: ({ n }, { id }) => {
      appendFileSync(file('received'), `${JSON.stringify({ n, id })}\n`);
      return n;
    },
    refuse: () => {
      throw new Error('the shop is closed');
    },
  },
  subscription: { order: ({ after }) => orders(after ?? head) },
};

const http = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/push') {
    head = Number(url.searchParams.get('to'));
    writeFileSync(file('head'), String(head));
    for (const wake of waiting.splice(0)) wake();
  } else if (url.pathname === '/kick') {
    for (const client of sockets.clients) client.close(1001, 'Going away');
  }
  response.setHeader('Content-Length', 0);
  response.end();
});
const sockets = new WebSocketServer({ server: http, path: '/graphql' });
useServer(
  {
    schema,
    roots,
    connectionInitWaitTimeout: 3000,
    onConnect: ({ connectionParams }) => {
      const token = read('token');
      return token === undefined || connectionParams?.token === token;
    },
    context: (_, id) => ({ id }),
  },
  sockets,
);
http.listen(Number(port), '127.0.0.1');
