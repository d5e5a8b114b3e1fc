// The codec of a packaged weight set, from the modules that the worker is made of. Runs in Node and in pages.
import { configure, Sessions } from "../dist/codec/runtime.js";
import { Codec } from "../dist/codec/still.js";
import { WeightSet } from "../dist/codec/weights.js";
import { crc32 } from "../dist/format/checks.js";
import { PACKAGED, WASM } from "../dist/packaged.js";

/** @param read URL → bytes */
export async function codecOf(name, read) {
  const set = new WeightSet(PACKAGED.sets[name], read);
  configure(await read(WASM.wasm), 1);
  return new Codec(await set.load(), new Sessions(set).run, set.digest, set.shortHash);
}

/** CRC-32 of symbols, as in tests/golden/golden.json. */
export function crcOf({ levels, z, y }) {
  return crc32(y.data, crc32(z.data, levels ? crc32(levels.data) : 0));
}
