// Subprotocols in Node: node subprotocols.cjs MODULE URL. MODULE is npm's `ws`, or "" for Node's own WebSocket.
// Prints for each offer what was chosen, or that the client has ended the connection.
const [, , path, url] = process.argv;
const Socket = path ? require(path) : WebSocket;

const visit = (offered) => new Promise((done) => {
  const socket = new Socket(url, offered);
  socket.onopen = () => { done(`chosen: ${socket.protocol}`); socket.close(); };
  socket.onerror = () => done("ended");
});

(async () => {
  const all = [];
  for (const offered of [["qcfeed.v1.json"], ["mqtt", "qcfeed.v1.json"], [], ["mqtt"]]) {
    all.push(await visit(offered));
  }
  console.log(JSON.stringify(all));
})();
