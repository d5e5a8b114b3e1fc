// Files and helpers that several tests use.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";

import { toRgba } from "./pictures.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

export const GOLDEN = path("../../tests/golden/");
export const FIXTURES = path("../build/fixtures/");
export const WEIGHTS = new URL("../../src/cotam/weights/", import.meta.url);
export const golden = JSON.parse(readFileSync(`${GOLDEN}golden.json`, "utf8")).files;

/** Run test/fixtures.py with the Python of the repository's environment, or $PYTHON. */
export function python(...args) {
  const own = path("../../.venv/bin/python");
  const program = process.env.PYTHON ?? (existsSync(own) ? own : "python3");
  return execFileSync(program, [path("fixtures.py"), ...args], {
    encoding: "utf8",
    env: { ...process.env, PYTHONPATH: path("../../src"), OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Bytes of a file, as a plain Uint8Array. */
export const bytes = (name) => new Uint8Array(readFileSync(name));
export const fixture = (name) => bytes(`${FIXTURES}${name}.cotam`);
export const fixtures = () => JSON.parse(readFileSync(`${FIXTURES}index.json`, "utf8"));
export const goldenFiles = () => readdirSync(GOLDEN).filter((name) => name.endsWith(".cotam"));

/** { data, width, height } in RGBA of an 8-bit PNG file in colour, as Pillow writes it. */
export function readPng(name) {
  const file = readFileSync(name);
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  if (file[24] !== 8 || file[25] !== 2 || file[28] !== 0) throw new Error(`${name} is not plain 8-bit RGB`);
  const parts = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  }
  const lines = inflateSync(Buffer.concat(parts));
  const stride = 3 * width;
  const rgb = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = lines[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x >= 3 ? rgb[y * stride + x - 3] : 0;
      const up = y ? rgb[(y - 1) * stride + x] : 0;
      const corner = x >= 3 && y ? rgb[(y - 1) * stride + x - 3] : 0;
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      rgb[y * stride + x] = lines[y * (stride + 1) + 1 + x] + predicted;
    }
  }
  return { ...toRgba(rgb), width, height };
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(guess - value));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
