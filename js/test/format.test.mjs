// The format without any network: checksums, numbers, the range coder, headers, AVIF containers, resizing.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { readSequenceHeader } from "../dist/format/av1.js";
import { crc16, crc32, hex, sha256 } from "../dist/format/checks.js";
import { readFile, readHeader } from "../dist/format/header.js";
import { RangeDecoder, RangeEncoder, startsOf } from "../dist/format/rangecoder.js";
import { readVarint, varint } from "../dist/format/varint.js";
import { bytes, GOLDEN, goldenFiles } from "./files.mjs";
import { randomFrom } from "./pictures.mjs";

const text = (letters) => new TextEncoder().encode(letters);

test("checksums are those of zlib, CCITT and SHA-256", () => {
  assert.equal(crc32(text("123456789")), 0xcbf43926);
  assert.equal(crc32(text("6789"), crc32(text("12345"))), 0xcbf43926);
  assert.equal(crc16(text("123456789")), 0x29b1);
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1000]) {
    const data = Uint8Array.from({ length }, (_, i) => i * 7);
    assert.equal(hex(sha256(data)), createHash("sha256").update(data).digest("hex"));
  }
});

test("numbers come back, and only in their shortest form", () => {
  for (const value of [0, 1, 127, 128, 300, 2 ** 20, 2 ** 32 - 1, 2 ** 35 - 1]) {
    const data = Uint8Array.from([9, ...varint(value)]);
    assert.deepEqual(readVarint(data, 1, "number"), [value, data.length]);
  }
  assert.throws(() => readVarint(Uint8Array.of(0x80, 0), 0, "number"), /not a valid number/);
  assert.throws(() => readVarint(Uint8Array.of(0x80), 0, "number"), /ends within its number/);
});

/** The coder of docs/format.md in BigInt, word for word. */
function encodeSlowly(parts) {
  const words = [];
  let low = 0n;
  let range = 2n ** 64n - 1n;
  const carry = () => {
    let at = words.length - 1;
    while (words[at] === 2n ** 32n - 1n) words[at--] = 0n;
    words[at] += 1n;
  };
  for (const [start, width] of parts) {
    const step = range >> 24n;
    low += step * BigInt(start);
    range = step * BigInt(width);
    if (low >> 64n) carry();
    low &= 2n ** 64n - 1n;
    if (range < 2n ** 32n) {
      words.push(low >> 32n);
      low = (low << 32n) & (2n ** 64n - 1n);
      range <<= 32n;
    }
  }
  const point = low + 2n ** 32n - 1n;
  if (point >> 64n) carry();
  words.push((point & (2n ** 64n - 1n)) >> 32n);
  return Buffer.concat(words.map((word) => Buffer.from(Uint32Array.of(Number(word)).buffer)));
}

test("the range coder writes the words of 64-bit integers, and reads them", () => {
  const random = randomFrom(1);
  for (let round = 0; round < 40; round++) {
    const models = Array.from({ length: 4 }, () => {
      const weights = Array.from({ length: 2 + Math.floor(40 * random()) }, () => 1 + Math.floor(2 ** (11 * random())));
      weights[0] += 2 ** 16 - weights.reduce((a, b) => a + b);
      return startsOf(weights[0] > 0 ? weights : [2 ** 15, 2 ** 15], 16);
    });
    const encoder = new RangeEncoder();
    const parts = [];
    const sent = [];
    for (let i = 0; i < 300 * round; i++) {
      const starts = models[i % 4];
      // The last symbols of a model again and again make long carries.
      const symbol = random() < 0.5 ? starts.length - 2 : Math.floor(random() * (starts.length - 1));
      encoder.encode(starts[symbol], starts[symbol + 1] - starts[symbol]);
      parts.push([starts[symbol], starts[symbol + 1] - starts[symbol]]);
      sent.push(symbol);
    }
    const written = encoder.finish();
    if (round) {
      const slow = encodeSlowly(parts);
      assert.equal(Buffer.compare(written, slow.subarray(0, written.length)), 0);
      assert.ok(slow.subarray(written.length).every((byte) => byte === 0));
    }
    const decoder = new RangeDecoder(written);
    assert.deepEqual(sent.map((_, i) => decoder.decode(models[i % 4])), sent);
  }
});

test("uniform values come back", () => {
  for (const size of [2, 3, 65535, 65536]) {
    const values = Array.from({ length: 500 }, (_, i) => (i * 7919) % size).concat(size - 1);
    const encoder = new RangeEncoder();
    for (const value of values) encoder.encodeUniform(value, size);
    const decoder = new RangeDecoder(encoder.finish());
    assert.deepEqual(values.map(() => decoder.decodeUniform(size)), values);
  }
});

test("headers of golden files are read, and their damage is named", () => {
  for (const name of goldenFiles()) {
    const data = bytes(`${GOLDEN}${name}`);
    const { header, payload } = readFile(data);
    assert.equal(header.kind, "learned");
    assert.ok(header.payloadStart + payload.length <= data.length);
    assert.throws(() => readFile(data.slice(0, -1)), { name: "TruncatedError" });
    assert.throws(() => readFile(Uint8Array.of(...data, 0)), { name: "FormatError" });
    const damaged = data.slice();
    damaged[10] ^= 1;
    assert.throws(() => readHeader(damaged), { name: "DamagedError" });
  }
  assert.throws(() => readHeader(text("\x89PNG\r\n\x1a\n0000")), { name: "NotCotamError" });
  const future = bytes(`${GOLDEN}plain.cotam`);
  future[8] = 4;
  assert.throws(() => readHeader(future), { name: "FormatError", message: /version 4 is unknown/ });
});

test("an empty file is said to be empty, and a header without its end how long it is", () => {
  assert.throws(() => readHeader(text("")), { name: "TruncatedError", message: "the file is empty" });
  const message = "the file ends within its header, after 8 bytes";
  assert.throws(() => readHeader(bytes(`${GOLDEN}plain.cotam`).slice(0, 8)), { name: "TruncatedError", message });
});

test("an AV1 sequence header without colour is sRGB, as libavif 1.3 writes it", () => {
  const payload = Uint8Array.of(0x0a, 6, 0x18, 0x1d, 0xa7, 0xfb, 0xb0, 0x21, 0x30, 0);
  assert.deepEqual(readSequenceHeader(payload).colour, [1, 13, 6]);
});

test("metadata boxes are listed", () => {
  assert.deepEqual(readFile(bytes(`${GOLDEN}metadata.cotam`)).metadata, ["exif", "icc", "xmp"]);
});

