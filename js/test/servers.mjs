// Real servers on loopback: a model server that says what it was sent, a gateway, and a link whose bytes are counted.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

async function listening(server) {
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return server.address().port;
}

/** Answers for OpenAI's and Anthropic's clients; `requests` has what arrived: {path, headers, body, text}. */
export async function modelServer() {
  const requests = [];
  // Node closes idle connections after 5 seconds, at which moment a gateway that comes to a halt may use one.
  const server = createServer({ keepAliveTimeout: 0 }, async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const text = Buffer.concat(pieces).toString();
    const body = text ? JSON.parse(text) : null;
    requests.push({ path: request.url, headers: request.headers, body, text });
    const said = JSON.stringify(images(body));
    if (body?.stream) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const chunk = (delta) => ({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta }] });
      for (const content of said.match(/.{1,60}/g)) response.write(`data: ${JSON.stringify(chunk({ content }))}\n\n`);
      return response.end("data: [DONE]\n\n");
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer(request.url, said)));
  });
  const port = await listening(server);
  return { url: `http://127.0.0.1:${port}`, requests, close: () => server.close() };
}

function answer(url, text) {
  if (url.endsWith("/messages")) {
    const usage = { input_tokens: 1, output_tokens: 1 };
    return { id: "1", type: "message", role: "assistant", model: "m", content: [{ type: "text", text }], stop_reason: "end_turn", usage };
  }
  if (url.endsWith("/responses")) {
    const content = [{ type: "output_text", text, annotations: [] }];
    return { id: "1", object: "response", created_at: 1, model: "m", status: "completed", output: [{ id: "2", type: "message", role: "assistant", status: "completed", content }] };
  }
  const message = { role: "assistant", content: text };
  return { id: "1", object: "chat.completion", created: 1, model: "m", choices: [{ index: 0, finish_reason: "stop", message }] };
}

/** Type, bytes and hash of each image in a request, in order. */
export function images(value) {
  if (Array.isArray(value)) return value.flatMap(images);
  if (typeof value === "string" && value.startsWith("data:")) return [row(value.slice(5, value.indexOf(";")), value.slice(value.indexOf(",") + 1))];
  if (typeof value !== "object" || value === null) return [];
  if (value.type === "base64") return [row(value.media_type, value.data)];
  if (value.type === "image" && value.data) return [row(value.mime_type ?? value.mimeType, value.data)];
  return Object.values(value).flatMap(images);
}

function row(type, base64) {
  const file = Buffer.from(base64, "base64");
  return { type, bytes: file.length, hash: createHash("sha256").update(file).digest("hex").slice(0, 16) };
}

/** `cotam serve` in front of a model server. */
export async function gateway(upstream, ...more) {
  const own = path("../../.venv/bin/python");
  const program = process.env.PYTHON ?? (existsSync(own) ? own : "python3");
  const given = ["-m", "cotam", "serve", "--upstream", `${upstream}/v1`, "--port", "0", ...more];
  const env = { ...process.env, PYTHONPATH: path("../../src"), OMP_NUM_THREADS: "1" };
  const child = spawn(program, given, { env, stdio: ["ignore", "ignore", "pipe"] });
  const lines = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  const { value } = await lines.next();
  child.stderr.resume();
  return { url: JSON.parse(value).url, close: () => child.kill() };
}

/** A link to a server: `sent()` counts the bytes that clients have sent over it since the last call. */
export async function counted(url) {
  const { hostname, port } = new URL(url);
  let bytes = 0;
  const sockets = new Set();
  const server = createTcpServer((client) => {
    const target = connect(Number(port), hostname);
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.on("data", (piece) => (bytes += piece.length));
    client.pipe(target).pipe(client);
  });
  const own = await listening(server);
  const sent = () => {
    const found = bytes;
    bytes = 0;
    return found;
  };
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `http://127.0.0.1:${own}`, sent, close };
}

/** The files of a folder, an empty page at /, and some files that are given as text. */
export async function fileServer(root, texts) {
  const types = { js: "text/javascript", wasm: "application/wasm", json: "application/json" };
  const server = createServer(async (request, response) => {
    const name = decodeURIComponent(new URL(request.url, "http://a").pathname).slice(1);
    const type = name ? types[name.split(".").at(-1)] ?? "application/octet-stream" : "text/html";
    try {
      const data = name ? texts[name] ?? (await readFile(`${root}${name}`)) : "<!doctype html><title>page</title>";
      response.writeHead(200, { "content-type": type }).end(data);
    } catch {
      response.writeHead(404).end();
    }
  });
  const port = await listening(server);
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}
