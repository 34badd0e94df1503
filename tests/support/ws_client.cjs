// npm's `ws` as a client: node ws_client.cjs MODULE URL QUOTES COMPRESS
// Counts quotes and gaps, pings, sends a request in fragments, closes with a code; prints what it saw.
const [, , path, url, quotes, compress] = process.argv;
const WebSocket = require(path);

const seen = { quotes: 0, gaps: 0, pongs: [], pongMessages: 0, extensions: "", code: 0, reason: "" };
const socket = new WebSocket(url, { perMessageDeflate: compress === "1" });
let last = null;

socket.on("open", () => {
  seen.extensions = socket.extensions;
  socket.send(JSON.stringify({ action: "subscribe", symbols: ["AAPL"] }));
  socket.send('{"action":', { fin: false });
  socket.send('"ping"', { fin: false });
  socket.ping("from ws");
  socket.send("}", { fin: true });
});
socket.on("message", (data) => {
  const said = JSON.parse(data);
  if (said.type === "pong") seen.pongMessages += 1;
  if (said.type !== "quote") return;
  if (last !== null && said.seq !== last + 1) seen.gaps += 1;
  last = said.seq;
  seen.quotes += 1;
  if (seen.quotes % 50 === 0) socket.ping(String(seen.quotes));
  enough();
});
socket.on("pong", (data) => {
  seen.pongs.push(data.toString());
  enough();
});
// The pongs may come after all the quotes, which a busy machine may hand over at once.
const enough = () => {
  if (seen.quotes >= Number(quotes) && seen.pongs.length >= 3) socket.close(4321, "enough");
};
socket.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
socket.on("close", (code, reason) => {
  seen.code = code;
  seen.reason = reason.toString();
  console.log(JSON.stringify(seen));
});
