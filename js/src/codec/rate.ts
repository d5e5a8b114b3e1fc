/** Rate before it is written: the cost of gain offsets, and the quality that fits a number of bytes. */

import { TargetSizeError } from "../errors.js";
import { MAX_QUALITY } from "../format/header.js";
import { LEVEL_LIMIT } from "../format/levels.js";
import type { Tables } from "../format/symbols.js";
import { plane, type Plane } from "./planes.js";

/** Estimates are within this factor of real sizes. */
const SURELY = 1.25;
/** Estimates corrected by the size at the quality below are nearly always within this factor and so many bytes. */
const CLEARLY = 1.008;
const WORD = 8;

/**
 * Estimate the bits, (15, ⌈h/2⌉, ⌈w/2⌉), of each gain offset −7 … 7 in each field of 2×2 latents.
 *
 * Tables are a quarter octave apart, so an offset moves the index of its latents by as much; the cost of a latent is
 * the entropy of its table.
 *
 * @param index the table of each latent if every offset is 7: at lower ones more tables are clipped to 0
 */
export function levelCosts({ count, entropies }: Tables, index: Plane<Uint8Array>): Plane<Float32Array> {
  const size = { height: Math.ceil(index.height / 2), width: Math.ceil(index.width / 2) };
  const area = size.height * size.width;
  const used = new Uint32Array(area * count);
  for (let channel = 0, at = 0; channel < index.channels; channel++) {
    for (let row = 0; row < index.height; row++) {
      const line = (row >> 1) * size.width;
      for (let column = 0; column < index.width; column++, at++) {
        used[(line + (column >> 1)) * count + index.data[at]]++;
      }
    }
  }
  let highest = 0; // entropies of fitted tables may fall where they should rise
  const rising = entropies.map((bits) => (highest = Math.max(highest, bits)));
  const offsets = 2 * LEVEL_LIMIT + 1;
  const costs = plane(new Float32Array(offsets * area), offsets, size);
  for (let offset = 0; offset < offsets; offset++) {
    const below = offset - 2 * LEVEL_LIMIT;
    for (let field = 0; field < area; field++) {
      let bits = 0;
      for (let table = 0; table < count; table++) {
        bits += used[field * count + table] * rising[Math.max(table + below, 0)];
      }
      costs.data[offset * area + field] = bits;
    }
  }
  return costs;
}

/**
 * The file of the highest quality that has at most `target` bytes.
 *
 * Sizes are assumed to rise with quality. Qualities are ruled out by estimates, which are cheap, until one is found
 * that fits while the next one does not: two or three files are encoded.
 *
 * @throws TargetSizeError if the file of quality 0 has more
 */
export async function largestWithin(
  encodeAt: (quality: number) => Promise<Uint8Array>,
  estimateAt: (quality: number) => Promise<number>,
  target: number,
): Promise<Uint8Array> {
  const estimates = new Map<number, number>();
  let ratio = 1;
  let tries = 0;
  const expected = async (quality: number): Promise<number> => {
    let found = estimates.get(quality);
    if (found === undefined) {
      found = await estimateAt(quality);
      estimates.set(quality, found);
    }
    return ratio * found;
  };
  if ((await expected(0)) > SURELY * target) throw TargetSizeError.of(target, Math.round(await expected(0)));
  let best: Uint8Array | undefined;
  let low = -1;
  let high = MAX_QUALITY + 1;
  while (high - low > 1 && (!best || (await expected(low + 1)) <= CLEARLY * target + WORD)) {
    let left = low;
    let right = high;
    while (right - left > 1) {
      const middle = Math.floor((left + right) / 2);
      if ((await expected(middle)) <= target) left = middle;
      else right = middle;
    }
    let quality = Math.max(left, low + 1);
    if (tries > 3) quality = Math.floor((low + high) / 2); // estimates mislead
    const file = await encodeAt(quality);
    tries += 1;
    ratio *= file.length / Math.max(await expected(quality), 1);
    if (file.length <= target) {
      low = quality;
      best = file;
    } else {
      high = quality;
    }
  }
  if (!best) throw TargetSizeError.of(target, Math.round(await expected(0)));
  return best;
}
