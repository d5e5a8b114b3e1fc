/** Find the quality that fits a number of bytes. */

import { TargetSizeError } from "../errors.js";
import { MAX_QUALITY } from "../format/header.js";

/** Estimates are within this factor of real sizes. */
const SURELY = 1.25;
/** Estimates corrected by the size at the quality below are nearly always within this factor and so many bytes. */
const CLEARLY = 1.008;
const WORD = 8;

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
