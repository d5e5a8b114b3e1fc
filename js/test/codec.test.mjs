// The codec itself: golden files decode to the symbols of Python, and symbols give the bytes of the file again.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { readFile as load } from "node:fs/promises";

import { WeightSet } from "../dist/codec/weights.js";
import { Grid, paste, plane } from "../dist/codec/planes.js";
import { headerFields, readFile } from "../dist/format/header.js";
import { SymbolWriter } from "../dist/format/symbols.js";
import { bytes, GOLDEN, golden } from "./files.mjs";
import { codecOf, crcOf } from "./symbols.mjs";

const codecs = new Map();

before(async () => {
  const read = async (url) => new Uint8Array(await load(new URL(url)));
  for (const name of ["mllm", "page"]) codecs.set(name, await codecOf(name, read));
});

for (const [name, { set, bytes: size, symbols: expected }] of Object.entries(golden)) {
  test(`golden file ${name}: the symbols of Python, and the same payload from them`, async () => {
    const data = bytes(`${GOLDEN}${name}.cotam`);
    assert.equal(data.length, size);
    const file = readFile(data);
    const [symbols, grid] = await codecs.get(set).decodeSymbols(file);
    assert.equal(crcOf(symbols), expected);
    const [payload, check] = await written(codecs.get(set), symbols, grid, headerFields(file.header));
    assert.equal(check, file.header.checksum);
    assert.deepEqual(payload, file.payload);
  });
}

async function written(codec, symbols, grid, fields) {
  const { channels } = symbols.y;
  const index = plane(new Uint8Array(symbols.y.data.length), channels, grid.latents);
  for (const [row, column] of grid.bands()) {
    const part = await codec.tableIndex(symbols, row, column, grid);
    const [top, left] = [4 * row.start, 4 * column.start];
    paste(part, [0, 0], index, [top, top + part.height], [left, left + part.width]);
  }
  const writer = new SymbolWriter((await codec.constants).tables);
  const check = await codec.putSymbols(writer, symbols, index, grid, codec.startCheck(fields));
  return [writer.finish(), check];
}

test("a weight set whose files are not those of its manifest is refused", async () => {
  const set = new WeightSet(
    { manifest: { "tables.npz": "00" }, urls: { "tables.npz": "file:///tables.npz" } },
    async () => new Uint8Array(3),
  );
  await assert.rejects(set.load(), { name: "UnknownWeightsError", message: /does not match the manifest/ });
});

test("planes of an image of one pixel are one by one", () => {
  const grid = new Grid(1, 1);
  assert.deepEqual([grid.latents, grid.levels, grid.cells], Array(3).fill({ height: 1, width: 1 }));
  assert.equal(grid.bands().length, 1);
});
