/** Gain offset maps, called levels in the format: small signed integers with adaptive contexts. */

import { roundEven, type Size } from "../codec/planes.js";
import { DamagedError } from "../errors.js";
import { startsOf } from "./rangecoder.js";
import type { SymbolReader, SymbolWriter } from "./symbols.js";

/** Levels are within ± this. */
export const LEVEL_LIMIT = 7;

const SPAN = 2 * LEVEL_LIMIT;
const DIFFERENCES = 2 * SPAN + 1;
const CONTEXTS = 3;
const GAIN = 24;
const BITS = 15;

/** Levels place by place, as the coder takes them. */
class Adaptive {
  /** By context, of each difference + SPAN. */
  private readonly counts = Array.from({ length: CONTEXTS }, (_, context) => startCounts(context));
  private above: number[] = [];
  private row: number[] = [];
  private seen: [context: number, difference: number][] = [];

  /** Integer weights of each difference in each context, 2^BITS in sum. */
  weights(): number[][] {
    return this.counts.map(weightsOf);
  }

  /** Prediction and context of the next level. */
  expected(): [prediction: number, context: number] {
    const left = this.row.at(-1);
    const up = this.above[this.row.length] as number | undefined;
    if (left === undefined || up === undefined) return [left ?? up ?? 0, 1];
    return [Math.floor((left + up) / 2), Math.min(Math.abs(left - up), CONTEXTS - 1)];
  }

  take(level: number, prediction: number, context: number): void {
    this.row.push(level);
    this.seen.push([context, level - prediction + SPAN]);
  }

  endRow(): void {
    for (const [context, difference] of this.seen) this.counts[context][difference] += GAIN;
    this.counts.forEach(halve);
    [this.above, this.row, this.seen] = [this.row, [], []];
  }
}

/**
 * Round levels so that they are cheap to code: place by place, in the order of the coder, the level with the least
 * weight · (level − wanted)² + bits.
 *
 * @param weight bits that are lost if a level is off by one, at least 0
 * @returns the levels, and the bits of the coded map
 */
export function fitLevels(
  wanted: Size & { readonly data: Float64Array },
  weight: Float64Array,
): { levels: Int8Array<ArrayBuffer>; bits: number } {
  const adaptive = new Adaptive();
  const levels = new Int8Array(wanted.data.length);
  let bits = 0;
  for (let row = 0, at = 0; row < wanted.height; row++) {
    const costs = adaptive.weights().map((weights) => weights.map((one) => BITS - Math.log2(one)));
    for (let column = 0; column < wanted.width; column++, at++) {
      const aim = Math.min(Math.max(wanted.data[at], -LEVEL_LIMIT), LEVEL_LIMIT);
      const [prediction, context] = adaptive.expected();
      const step = roundEven(aim) >= prediction ? 1 : -1;
      let best = 0;
      let least = Infinity;
      // From the level that is cheapest to code to the one that is wanted.
      for (let level = prediction; level !== roundEven(aim) + step; level += step) {
        const loss = weight[at] * (level - aim) ** 2 + costs[context][level - prediction + SPAN];
        if (loss < least) [best, least] = [level, loss];
      }
      bits += costs[context][best - prediction + SPAN];
      adaptive.take(best, prediction, context);
      levels[at] = best;
    }
    adaptive.endRow();
  }
  return { levels, bits };
}

/** Write a level map, (height, width). */
export function writeLevels(writer: SymbolWriter, levels: Int8Array, height: number, width: number): void {
  const adaptive = new Adaptive();
  for (let row = 0; row < height; row++) {
    const models = adaptive.weights().map((weights) => startsOf(weights, BITS));
    for (const level of levels.subarray(row * width, (row + 1) * width)) {
      const [prediction, context] = adaptive.expected();
      writer.putOne(level - prediction + SPAN, models[context]);
      adaptive.take(level, prediction, context);
    }
    adaptive.endRow();
  }
}

/** Read a level map, (height, width). @throws DamagedError if a level is beyond ±7 */
export function readLevels(reader: SymbolReader, height: number, width: number): Int8Array {
  const adaptive = new Adaptive();
  const levels = new Int8Array(height * width);
  for (let row = 0, at = 0; row < height; row++) {
    const models = adaptive.weights().map((weights) => startsOf(weights, BITS));
    for (let column = 0; column < width; column++, at++) {
      const [prediction, context] = adaptive.expected();
      const level = prediction + reader.getOne(models[context]) - SPAN;
      if (Math.abs(level) > LEVEL_LIMIT) {
        throw new DamagedError(`the level map is damaged: it has a value of ${level}`);
      }
      adaptive.take(level, prediction, context);
      levels[at] = level;
    }
    adaptive.endRow();
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

function halve(counts: number[]): void {
  if (counts.reduce((a, b) => a + b) <= 2 ** 14) return;
  counts.forEach((count, i) => (counts[i] = Math.floor((count + 1) / 2)));
}
