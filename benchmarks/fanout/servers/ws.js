// npm `ws` as in its documentation of broadcasting: `send` on each client.
//
//   node ws.js READERS RATE|max SYMBOL,SYMBOL,...
'use strict';

const http = require('http');
const { WebSocket, WebSocketServer } = require('ws');

const expected = Number(process.argv[2]);
const rate = process.argv[3] === 'max' ? null : Number(process.argv[3]);
const readers = new Map(process.argv[4].split(',').map((symbol) => [symbol, new Set()]));
const latest = new Map();
let seq = 0;

function stamp(ms) {
  const whole = Math.floor(ms);
  const rest = String(Math.floor((ms - whole) * 1e6)).padStart(6, '0');
  return new Date(whole).toISOString().replace('Z', `${rest}Z`);
}

// Send every symbol's next quote, due at `due` (ms since 1970), to the symbol's readers.
function publish(due) {
  const ts = stamp(due);
  seq += 1;
  for (const [symbol, clients] of readers) {
    const bid = 189.99 + (seq % 7) / 100;
    const quote = JSON.stringify({
      type: 'quote', symbol, bid, bid_size: 100 * (1 + (seq & 15)), ask: bid + 0.02,
      ask_size: 300, last: bid, ts, epoch: '7f3a1', seq,
    });
    latest.set(symbol, quote);
    for (const client of clients) {
      if (client.readyState === WebSocket.OPEN) client.send(quote);
    }
  }
}

const start = performance.timeOrigin + performance.now();
const MOST_BEHIND_MS = 250;
let done = 0;

// While behind, send one quote per turn of the loop, so that new clients can connect. Late quotes are skipped.
function publishDue() {
  const now = performance.timeOrigin + performance.now();
  done = Math.max(done, Math.ceil(((now - start - MOST_BEHIND_MS) * rate) / 1000));
  const due = start + (done * 1000) / rate;
  if (due > now) {
    setTimeout(publishDue, due - now);
  } else {
    publish(due);
    done += 1;
    setImmediate(publishDue);
  }
}

function publishMore() {
  publish(performance.timeOrigin + performance.now());
  setImmediate(publishMore);
}

// Wait for all readers: accepting 16,000 at full speed takes long.
function publishMoreToAll() {
  const come = [...readers.values()].reduce((sum, clients) => sum + clients.size, 0);
  if (come < expected) setTimeout(publishMoreToAll, 5);
  else publishMore();
}

const server = http.createServer();
const websockets = new WebSocketServer({ server, perMessageDeflate: false });
websockets.on('connection', (client, request) => {
  const clients = readers.get(request.url.slice('/quotes/'.length));
  client.send(latest.get(request.url.slice('/quotes/'.length)));
  clients.add(client);
  client.on('close', () => clients.delete(client));
  client.on('error', () => clients.delete(client));
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log(`ready ${server.address().port}`);
  publish(start);
  if (rate === null) publishMoreToAll();
  else if (rate > 0) publishDue();
});
