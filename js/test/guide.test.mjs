// What "auto" means: content, importance and levels as in Python (fixtures.py contents), and files that Python opens.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile as load } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import * as cotam from "cotam";
import { configure, Sessions } from "../dist/codec/runtime.js";
import { WeightSet } from "../dist/codec/weights.js";
import { examine, profileOf } from "../dist/guide/content.js";
import { GuideGraph } from "../dist/guide/graph.js";
import { toPixels } from "../dist/image/pixels.js";
import { resize } from "../dist/image/resize.js";
import { PACKAGED, WASM } from "../dist/packaged.js";
import { bytes, python, readPng } from "./files.mjs";

const FOLDER = fileURLToPath(new URL("../build/contents/", import.meta.url));
const OUT = `${FOLDER}written/`;

let index, guide;

before(async () => {
  rmSync(FOLDER, { recursive: true, force: true });
  python("contents", FOLDER);
  mkdirSync(OUT);
  index = JSON.parse(readFileSync(`${FOLDER}index.json`, "utf8"));
  configure(new Uint8Array(await load(new URL(WASM.wasm))), 1);
  const set = new WeightSet(PACKAGED.guide, async (url) => new Uint8Array(await load(new URL(url))));
  guide = new GuideGraph(PACKAGED.guide, new Sessions(set).run);
});

after(() => rmSync(FOLDER, { recursive: true, force: true }));

test("text and importance are those of Python, of images of all sizes", { timeout: 1_800_000 }, async (t) => {
  for (const [name, { text, grid, profile }] of Object.entries(index)) {
    const found = await examine(guide, await toPixels(readPng(`${FOLDER}${name}.png`)));
    assert.ok(Math.abs(found.text - text) < 1e-3, `${name}: ${found.text}, in Python ${text}`);
    assert.equal(profileOf(found), profile, name);
    assert.deepEqual([found.importance.height, found.importance.width], grid);
    const expected = new Float32Array(bytes(`${FOLDER}${name}.importance`).buffer);
    const off = Math.max(...expected.map((value, i) => Math.abs(found.importance.data[i] / value - 1)));
    t.diagnostic(`${name}: text ${text.toFixed(3)}, importance ${off.toExponential(1)} off at most`);
    assert.ok(off < 1e-3, `${name}: ${off}`);
  }
});

test("images are resized to the pixels of Pillow, which resamples rows or columns first", async () => {
  const image = await toPixels(readPng(`${FOLDER}small.png`));
  for (const [height, width] of [[32, 64], [13, 40], [9, 11], [60, 20]]) {
    assert.deepEqual(resize(image, width, height).data, bytes(`${FOLDER}${height}x${width}.rgb`));
  }
});

test("the set and the levels are those of Python, and so are the bytes", { timeout: 1_800_000 }, async (t) => {
  const names = Object.keys(index).filter((name) => index[name].levels && name !== "dot"); // which is flat, and AV1 in Node
  for (const name of names) {
    writeFileSync(`${OUT}${name}.cotam`, await cotam.encode(readPng(`${FOLDER}${name}.png`)));
    copyFileSync(`${FOLDER}${name}.png`, `${OUT}${name}.png`);
  }
  const found = JSON.parse(python("check", OUT));
  for (const name of names) {
    const { profile, levels, bytes: size } = index[name];
    const ours = found[name];
    assert.equal(ours.weights, profile, name);
    const { length } = bytes(`${OUT}${name}.cotam`);
    const off = ours.levels.flat().map((level, i) => Math.abs(level - levels.flat()[i]));
    const moved = off.filter((level) => level > 0).length;
    t.diagnostic(`${name}: ${moved} of ${off.length} levels differ, ${length} bytes, ${size} in Python`);
    if (name === "lettered") assert.ok(ours.levels.flat().some((level) => level > 0), "text gets more");
    assert.ok(Math.max(...off) <= 1 && moved <= off.length / 100, `${name}: ${moved} of ${off.length}`);
    assert.ok(Math.abs(length - size) <= Math.max(8, 0.005 * size), `${name}: ${length} bytes, ${size} in Python`);
    assert.ok(ours.psnr > 20, `${name}: ${ours.psnr} dB`);
  }
});

test("set and guide can be told", { timeout: 1_800_000 }, async () => {
  const image = readPng(`${FOLDER}small.png`);
  const even = cotam.info(await cotam.encode(image, { guide: "none" }));
  const page = cotam.info(await cotam.encode(image, { profile: "page" }));
  const guided = cotam.info(await cotam.encode(image, { profile: "mllm" }));
  assert.equal(even.weights, guided.weights);
  assert.notEqual(page.weights, guided.weights);
  assert.equal(page.hasLevels, false);
  assert.equal(even.hasLevels, false);
  const within = await cotam.encode(image, { targetSize: 500 });
  assert.ok(within.length <= 500);
  await assert.rejects(cotam.encode(image, { profile: "photo" }), { name: "InputError", message: /auto, mllm, page/ });
  await assert.rejects(cotam.encode(image, { guide: "lite" }), { name: "InputError" });
});
