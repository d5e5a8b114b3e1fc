// The public functions in Chromium: the same files and the same bytes as in Node.
import assert from "node:assert/strict";
import { existsSync, rmSync, mkdirSync, copyFileSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "puppeteer-core";
import sharp from "sharp";

import * as cotam from "cotam";
import { FIXTURES, fixtures, golden, python, readPng } from "./files.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const OUT = `${ROOT}js/build/from_chromium/`;
const TYPES = { html: "text/html", js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm", png: "image/png" };
const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));

// Of the modules that the worker is made of, where a test imports them in a page.
const IMPORTS = JSON.stringify({
  imports: { "onnxruntime-web/wasm": "/js/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs" },
});

// `make test` runs where there is no browser, too; CI has one.
const skip = CHROMIUM ? false : "no Chromium: set CHROMIUM to its path";

/** Content Security Policies of what is served below a path of this name. */
const POLICIES = { strict: "default-src 'self'", wasm: "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'" };

let server, browser, page, origin;
/** Below /cut/ and /app/, whether the runtime arrives: before, it is cut, and a page as of an application. */
let isMended = false;

/** Serves the repository; the page at /isolated/ may share memory between threads. */
function serve(request, response) {
  const isolated = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const [name] = request.url.split("?");
  if (name === "/" || name === "/isolated/") {
    response.writeHead(200, { "content-type": TYPES.html, ...(name === "/" ? {} : isolated) });
    return response.end(`<!doctype html><title>cotam</title><script type="importmap">${IMPORTS}</script>`);
  }
  const [, policy, path] = /^\/(strict|wasm|cut|app)\/(.*)/.exec(name) ?? [];
  if (POLICIES[policy]) response.setHeader("content-security-policy", POLICIES[policy]);
  const isRuntime = name.endsWith(".wasm") && !isMended;
  if (policy === "app" && isRuntime) return response.writeHead(200, { "content-type": TYPES.html }).end("<!doctype html>");
  readFile(`${ROOT}${path ?? name.slice(1)}`).then(
    (data) => {
      const type = TYPES[name.split(".").at(-1)] ?? "application/octet-stream";
      const anyOrigin = { "access-control-allow-origin": "*" };
      response.writeHead(200, { "content-type": type, "content-length": data.length, ...isolated, ...anyOrigin });
      if (policy !== "cut" || !isRuntime) return response.end(data);
      response.write(data.subarray(0, 1000), () => response.destroy());
    },
    () => response.writeHead(404).end(),
  );
}

before(async () => {
  if (skip) return;
  if (!existsSync(`${FIXTURES}index.json`)) python("make", FIXTURES);
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  server = createServer(serve).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  // Memory is measured at once, not after up to 20 seconds.
  const args = ["--no-sandbox", "--disable-gpu", "--enable-blink-features=ForceEagerMeasureMemory"];
  browser = await launch({ executablePath: CHROMIUM, args, timeout: 600_000, protocolTimeout: 1_800_000 });
  page = await open("/");
});

after(async () => {
  await browser?.close();
  server?.close();
  rmSync(OUT, { recursive: true, force: true });
});

async function open(path) {
  const opened = await browser.newPage();
  opened.setDefaultTimeout(600_000);
  opened.on("pageerror", (error) => console.error("in the page:", error));
  await opened.goto(`${origin}${path}`);
  return opened;
}

/** Call a function of test/page.mjs in a page. */
function call(name, ...given) {
  return callIn(page, name, ...given);
}

function callIn(where, name, ...given) {
  return where.evaluate(async (name, given) => (await import("/js/test/page.mjs"))[name](...given), name, given);
}

test("progress of loading is told up to the last byte", { skip }, async () => {
  const seen = await call("loaded");
  assert.ok(seen.length > 5);
  assert.equal(seen.at(-1).loaded, seen.at(-1).total);
  assert.ok(seen.at(-1).total > 15e6);
});

test("golden files have the symbols of Python", { skip, timeout: 1_800_000 }, async () => {
  for (const [name, { set, symbols }] of Object.entries(golden)) {
    assert.equal(await call("symbols", `/tests/golden/${name}.cotam`, set), symbols, name);
  }
});

test("golden files decode", { skip, timeout: 1_800_000 }, async () => {
  for (const name of Object.keys(golden).filter((name) => name !== "bands")) { // 4 million pixels
    const { width, height } = readPng(`${ROOT}tests/golden/${name}.png`);
    assert.deepEqual(await call("decoded", `/tests/golden/${name}.cotam`), [width, height], name);
  }
});

test("files of every kind decode to the pixels of Python", { skip, timeout: 1_800_000 }, async () => {
  for (const [name, { kind, view, earlier, frames }] of Object.entries(fixtures())) {
    const from = "/js/build/fixtures/";
    const found = await call("compared", `${from}${name}`, view, earlier && `${from}${earlier}.cotam`);
    assert.equal(found.length, frames);
    for (const { largest, mean } of found) {
      const [most, average] = kind === "av1" ? [12, 0.7] : kind === "lossless" ? [0, 1e-9] : [8, 0.3];
      assert.ok(largest <= most && mean < average, `${name}: ${largest} off at most, ${mean} on average`);
    }
  }
});

test("every form of an image gives the bytes of Node, which Python decodes", { skip, timeout: 1_800_000 }, async () => {
  const image = readPng(`${FIXTURES}photo.png`);
  const expected = [...(await cotam.encode(image, { quality: 40 }))];
  const found = await call("encodings", "/js/build/fixtures/photo.png", 40);
  assert.deepEqual(Object.keys(found), ["blob", "element", "bitmap", "imageData", "raw"]);
  for (const [form, bytes] of Object.entries(found)) assert.deepEqual(bytes, expected, form);
  writeFileSync(`${OUT}photo.cotam`, Uint8Array.from(found.blob));
  copyFileSync(`${FIXTURES}photo.png`, `${OUT}photo.png`);
  assert.ok(JSON.parse(python("check", OUT)).photo.psnr > 22);
});

test("files are turned upright", { skip, timeout: 1_800_000 }, async () => {
  for (const type of ["jpeg", "png", "webp"]) {
    const image = sharp({ create: { width: 64, height: 40, channels: 3, background: "#abc" } });
    const file = await image.withMetadata({ orientation: 6 })[type]().toBuffer();
    assert.deepEqual([type, ...(await call("encodedSize", [...file]))], [type, 40, 64]);
  }
});

test("a JPEG file without its end is encoded, and refused if it lacks pixels", { skip, timeout: 1_800_000 }, async () => {
  const noise = { type: "gaussian", mean: 128, sigma: 30 };
  const file = await sharp({ create: { width: 64, height: 40, channels: 3, noise } }).jpeg().toBuffer();
  assert.deepEqual(await call("encodedSize", [...file.subarray(0, -2)]), [64, 40]);
  for (const cut of [file.subarray(0, -500), Buffer.concat([file.subarray(0, -500), Buffer.alloc(5000)])]) {
    await assert.rejects(call("encodedSize", [...cut]), /lacks pixels/);
  }
});

test("threads give the same symbols", { skip, timeout: 1_800_000 }, async () => {
  const isolated = await open("/isolated/");
  assert.equal(await isolated.evaluate(() => crossOriginIsolated), true);
  const image = readPng(`${FIXTURES}photo.png`);
  const ours = await cotam.encode(image, { quality: 40 });
  const { raw } = await callIn(isolated, "encodings", "/js/build/fixtures/photo.png", 40);
  assert.ok(Math.abs(raw.length - ours.length) <= 8);
  assert.deepEqual(await callIn(isolated, "decoded", "/js/build/fixtures/photo.cotam"), [200, 150]);
  await isolated.close();
});

test("a page stays responsive, and aborts", { skip, timeout: 1_800_000 }, async () => {
  assert.equal(await call("aborted"), "enough");
});

test("errors keep their classes", { skip }, async () => {
  assert.deepEqual(await call("errors"), ["NotCotamError", "TruncatedError", "InputError", "InputError", "UnknownWeightsError", "InputError", "InputError"]);
});

test("a Content Security Policy must allow WebAssembly", { skip, timeout: 1_800_000 }, async () => {
  assert.match(await call("encodedUnder", "strict"), /^CotamError: ONNX Runtime cannot open .*WebAssembly/);
  assert.match(await call("encodedUnder", "wasm"), /^\d+ bytes$/);
});

test("a runtime that does not arrive whole is named, and fetched again", { skip, timeout: 1_800_000 }, async () => {
  isMended = false;
  assert.match(await call("encodedUnder", "cut"), /^CotamError: .*\.wasm cannot be fetched: /);
  assert.match(await call("encodedUnder", "app"), /^CotamError: .*\.wasm is not the runtime of this package: 15 bytes$/);
  isMended = true;
  for (const path of ["cut", "app"]) assert.match(await call("encodedUnder", path), /^\d+ bytes$/);
});

test("colours of Display P3 are converted to sRGB", { skip, timeout: 1_800_000 }, async () => {
  const [red, green, blue] = await call("decodedP3", [200, 80, 80, 255]);
  assert.ok(Math.abs(red - 217) < 6 && Math.abs(green - 70) < 6 && Math.abs(blue - 75) < 6, `${red}, ${green}, ${blue}`);
});

test("a service worker is told that it cannot encode", { skip, timeout: 1_800_000 }, async () => {
  assert.match(await call("encodedInServiceWorker"), /^CotamError: service workers start no workers: /);
});

test("a package from another origin says what to do", { skip }, async () => {
  const [isOurs, message] = await call("foreignPackage");
  assert.ok(isOurs);
  assert.match(message, /serve the package from the page's origin/);
});

test("1,000 damaged files end in errors or in an image, none hangs, and memory comes back", { skip, timeout: 1_800_000 }, async (t) => {
  const names = ["photo", "levels", "dot", "colours", "smooth", "noise", "patch", "sequence", "screens", "av1"];
  const isolated = await open("/isolated/"); // where memory may be measured
  const runs = [];
  for (let i = 0; i < 2; i++) runs.push(await callIn(isolated, "mutations", names, 0, 1000));
  const [{ outcomes, others, slowest, memory }, again] = runs;
  t.diagnostic(`${JSON.stringify(outcomes)}, ${slowest.toFixed(0)} ms at most; ${memory} MB, ${again.memory} MB the second time`);
  assert.deepEqual(again.outcomes, outcomes);
  assert.deepEqual(others, []);
  assert.ok(slowest < 300_000, `${slowest} ms`);
  assert.ok(again.memory < memory + 20, `${memory} → ${again.memory} MB`);
  await isolated.close();
});
