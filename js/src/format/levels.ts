/** Gain offset maps, called levels in the format: small signed integers with adaptive contexts. */

import { DamagedError } from "../errors.js";
import { startsOf } from "./rangecoder.js";
import type { SymbolReader } from "./symbols.js";

/** Levels are within ± this. */
export const LEVEL_LIMIT = 7;

const SPAN = 2 * LEVEL_LIMIT;
const DIFFERENCES = 2 * SPAN + 1;
const CONTEXTS = 3;
const GAIN = 24;
const BITS = 15;

/** Read a level map, (height, width). @throws DamagedError if a level is beyond ±7 */
export function readLevels(reader: SymbolReader, height: number, width: number): Int8Array {
  const counts = Array.from({ length: CONTEXTS }, (_, context) => startCounts(context));
  const levels = new Int8Array(height * width);
  for (let row = 0; row < height; row++) {
    const models = counts.map((one) => startsOf(weightsOf(one), BITS));
    const seen: [number, number][] = [];
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      const left = column ? levels[at - 1] : undefined;
      const up = row ? levels[at - width] : undefined;
      const [prediction, context] = expected(left, up);
      const difference = reader.getOne(models[context]) - SPAN;
      const level = prediction + difference;
      if (Math.abs(level) > LEVEL_LIMIT) {
        throw new DamagedError(`the level map is damaged: it has a level of ${level}`);
      }
      levels[at] = level;
      seen.push([context, difference + SPAN]);
    }
    for (const [context, difference] of seen) counts[context][difference] += GAIN;
    counts.forEach(halve);
  }
  return levels;
}

function startCounts(context: number): number[] {
  return Array.from({ length: DIFFERENCES }, (_, i) => {
    const away = Math.abs(i - SPAN);
    return 1 + Math.floor((96 * 2 ** context) / 2 ** (away * (CONTEXTS - context)));
  });
}

function weightsOf(counts: readonly number[]): number[] {
  const sum = counts.reduce((a, b) => a + b);
  const weights = counts.map((count) => Math.floor((count * (2 ** BITS - DIFFERENCES)) / sum) + 1);
  weights[SPAN] += 2 ** BITS - weights.reduce((a, b) => a + b);
  return weights;
}

function expected(left: number | undefined, up: number | undefined): [prediction: number, context: number] {
  if (left === undefined || up === undefined) return [left ?? up ?? 0, 1];
  return [Math.floor((left + up) / 2), Math.min(Math.abs(left - up), CONTEXTS - 1)];
}

function halve(counts: number[]): void {
  if (counts.reduce((a, b) => a + b) <= 2 ** 14) return;
  counts.forEach((count, i) => (counts[i] = Math.floor((count + 1) / 2)));
}
