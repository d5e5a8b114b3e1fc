/** Modes of cells in the payload of a frame, coded with adaptive contexts. */

import { startsOf, type Starts } from "./rangecoder.js";
import type { SymbolReader } from "./symbols.js";

/** A cell is coded, or copied from the frame before, the last intra frame or the last key frame. */
export const CODED = 0;
const PREVIOUS = 1;
const MODES = 4;
const BITS = 15;

/** Read modes, (height, width), each 0 … 3. */
export function readModes(reader: SymbolReader, height: number, width: number): Uint8Array {
  const counts = [4, 8, 32].map((likely) =>
    Array.from({ length: MODES }, (_, mode) => Array.from({ length: MODES }, (_, i) => (i === mode ? likely : 1))),
  );
  const modes = new Uint8Array(height * width);
  for (let row = 0; row < height; row++) {
    const models = counts.map((context) => context.map(modelOf));
    const places: [number, number, number][] = [];
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      const left = column ? modes[at - 1] : undefined;
      const up = row ? modes[at - width] : undefined;
      const likely = left ?? up ?? PREVIOUS;
      const context = left === undefined || up === undefined ? 1 : left === up ? 2 : 0;
      modes[at] = reader.getOne(models[context][likely]);
      places.push([context, likely, modes[at]]);
    }
    for (const [context, likely, mode] of places) counts[context][likely][mode] += 4;
  }
  return modes;
}

function modelOf(counts: readonly number[]): Starts {
  const sum = counts.reduce((a, b) => a + b);
  const weights = counts.map((count) => Math.floor((count * (2 ** BITS - MODES)) / sum) + 1);
  weights[0] += 2 ** BITS - weights.reduce((a, b) => a + b);
  return startsOf(weights, BITS);
}
