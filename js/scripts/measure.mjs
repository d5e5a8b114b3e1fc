// Encodes and decodes images in Chromium, one thread, and compares with Python: times, bytes, and whether each side
// opens the other's files.
//
//     PYTHON=python node scripts/measure.mjs IMAGE …        after `npm run build`
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { launch } from "puppeteer-core";
import { python } from "../test/files.mjs";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const FOLDER = `${ROOT}build/measured/`;
const QUALITY = 50;

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
python("corpus", FOLDER, String(QUALITY), ...process.argv.slice(2));

const server = createServer((request, response) => {
  const name = request.url.split("?")[0];
  if (name === "/") return response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html>");
  const type = name.endsWith(".js") ? "text/javascript" : "application/octet-stream";
  readFile(`${ROOT}${name.slice(1)}`).then(
    (data) => response.writeHead(200, { "content-type": type }).end(data),
    () => response.writeHead(404).end(),
  );
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"], protocolTimeout: 900_000 });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);

/** Processor time of the browser's processes, in seconds. */
function processorTime() {
  const ours = new Set([String(browser.process().pid)]);
  let sum = 0;
  const processes = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(statOf)
    .filter((stat) => stat)
    .map((stat) => [stat.split(" ")[0], stat.slice(stat.lastIndexOf(")") + 2).split(" ")])
    .sort(([a], [b]) => a - b);
  for (const [id, fields] of processes) {
    if (!ours.has(id) && !ours.has(fields[1])) continue;
    ours.add(id);
    sum += Number(fields[11]) + Number(fields[12]);
  }
  return sum / Number(execFileSync("getconf", ["CLK_TCK"]));
}

function statOf(id) {
  try {
    return readFileSync(`/proc/${id}/stat`, "latin1");
  } catch {
    return ""; // it has ended
  }
}

async function timed(job, name, path) {
  const before = processorTime();
  const found = await page.evaluate(
    async (job, name, path, quality) => {
      const { decode, encode } = await import("/dist/browser.js");
      const data = await (await fetch(path)).blob();
      const start = performance.now();
      if (job === "decode") {
        const { width, height } = await decode(await data.arrayBuffer());
        return { wall: performance.now() - start, width, height };
      }
      const file = await encode(data, { quality });
      return { wall: performance.now() - start, file: [...file] };
    },
    job,
    name,
    path,
    QUALITY,
  );
  return { ...found, cpu: 1000 * (processorTime() - before) };
}

const names = readdirSync(FOLDER).filter((name) => name.endsWith(".png")).map((name) => name.slice(0, -4));
const rows = [];
for (const [number, name] of [names[0], ...names].entries()) {
  const theirs = readFileSync(`${FOLDER}${name}.python`);
  const decoded = await timed("decode", name, `/build/measured/${name}.python`);
  const encoded = await timed("encode", name, `/build/measured/${name}.png`);
  if (!number) continue; // the first one loads
  writeFileSync(`${FOLDER}${name}.cotam`, Uint8Array.from(encoded.file));
  const { width, height } = decoded;
  rows.push({ name, width, height, encoded, decoded, ours: encoded.file.length, theirs: theirs.length });
}
await browser.close();
server.close();

const checked = JSON.parse(python("check", FOLDER));
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const share = rows.map(({ ours, theirs }) => 100 * (ours / theirs - 1));
console.log(`${rows.length} images: all of Python's files decode in Chromium; ${Object.keys(checked).length} of Chromium's in Python`);
console.log(`bytes against Python's: ${share.map((x) => x.toFixed(2)).sort((a, b) => a - b).join(" ")} %`);
console.log(`in sum ${((100 * sum("ours")) / sum("theirs") - 100).toFixed(3)} %; ${rows.filter((row) => row.ours === row.theirs).length} of the same length`);
const kodak = rows.filter(({ width, height }) => width * height === 768 * 512);
for (const job of ["encoded", "decoded"]) {
  const [wall, cpu] = ["wall", "cpu"].map((key) => median(kodak.map((row) => row[job][key])).toFixed(0));
  console.log(`${kodak.length} images of 768×512 ${job}: median ${wall} ms, ${cpu} ms of processor time of the whole browser`);
}

function sum(key) {
  return rows.reduce((total, row) => total + row[key], 0);
}
