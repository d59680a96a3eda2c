// node.js http PORT                 an HTTP server that answers with the hash of what it was sent
// node.js echo PORT                 echoes each connection to its end
// node.js ask ADDRESS PORT COUNT    COUNT requests at a time by http, each with a body of its own; prints how many were
//                                   answered rightly
// node.js talk ADDRESS PORT COUNT   COUNT connections at a time, each echoed
"use strict";
const crypto = require("crypto");
const http = require("http");
const net = require("net");

const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
const body = (number) => Buffer.alloc(100_000 + number, String(number));

function serve(port) {
  const server = http.createServer((request, response) => {
    const hash = crypto.createHash("sha256");
    request.on("data", (piece) => hash.update(piece));
    request.on("end", () => response.end(hash.digest("hex")));
  });
  server.listen(port, "0.0.0.0");
}

function echo(port) {
  const server = net.createServer({ allowHalfOpen: true }, (connection) => connection.pipe(connection));
  server.listen(port, "0.0.0.0");
}

function ask(host, port, agent, number) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, agent, method: "POST" }, (response) => {
      let answer = "";
      response.on("data", (piece) => (answer += piece));
      response.on("end", () => resolve(answer === sha256(body(number))));
    });
    request.on("error", reject);
    request.end(body(number));
  });
}

function talk(host, port, number) {
  return new Promise((resolve, reject) => {
    const connection = net.connect({ host, port, allowHalfOpen: true });
    const pieces = [];
    connection.on("data", (piece) => pieces.push(piece));
    connection.on("end", () => resolve(Buffer.concat(pieces).equals(body(number))));
    connection.on("error", reject);
    connection.end(body(number));
  });
}

async function all(count, one) {
  let right = 0;
  // Connections are kept and made anew: each round finds those of the round before.
  for (let round = 0; round < 3; round++) {
    const numbers = [...Array(count).keys()];
    const outcomes = await Promise.all(numbers.map(one));
    right += outcomes.filter((outcome) => outcome).length;
  }
  console.log(`${right} right`);
}

const [what, ...rest] = process.argv.slice(2);
if (what === "http") serve(Number(rest[0]));
if (what === "echo") echo(Number(rest[0]));
if (what === "ask") {
  const agent = new http.Agent({ keepAlive: true });
  all(Number(rest[2]), (number) => ask(rest[0], rest[1], agent, number)).then(() => agent.destroy());
}
if (what === "talk") all(Number(rest[2]), (number) => talk(rest[0], rest[1], number));
