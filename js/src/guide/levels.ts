/**
 * Importance maps → gain offset maps.
 *
 * With importance w in each field of 32×32 pixels the gain is 2^(exponent · (log2 w − c)), in quarter octaves, rounded
 * and clipped. c is chosen so that the file keeps the size of its quality.
 */

import type { Allocator } from "../codec/allocation.js";
import { plane, roundEven, type Plane } from "../codec/planes.js";
import type { Pixels } from "../codec/still.js";
import { fitLevels, LEVEL_LIMIT } from "../format/levels.js";
import { mean, resample, type GridMap } from "./maps.js";

const LEVELS_PER_OCTAVE = 4;
/** Times that offsets are rounded: only after the first time is known what their map and the rounding cost. */
const FITS = 2;
/**
 * Loss of an offset that is off by δ, divided by δ² and by the bits that an offset costs there; derived in
 * src/cotam/guide/importance.py.
 */
const LOSS = (2 * Math.LN2) / LEVELS_PER_OCTAVE;

/** The allocator of an image whose importance is known; null if it is even. */
export function guided(importance: GridMap, exponent: number, pixels: Pixels): Allocator | null {
  if (importance.data.every((value) => value === importance.data[0])) return null;
  const [height, width] = [pixels.height, pixels.width / 3];
  const [rows, columns] = [Math.ceil(height / 32), Math.ceil(width / 32)];
  return async (costs) => {
    const shares = resample(importance, rows, columns, [(32 * rows) / height, (32 * columns) / width]);
    const logarithms = shares.data.map((value) => LEVELS_PER_OCTAVE * exponent * Math.log2(value));
    const middle = mean({ ...shares, data: logarithms });
    return balanced({ ...shares, data: logarithms.map((value) => value - middle) }, await costs());
  };
}

/** Shift the wanted offsets together until they and their map cost as much as offset 0 everywhere. */
function balanced(wanted: GridMap, costs: Plane<Float32Array>): Plane<Int8Array> {
  const area = wanted.data.length;
  const clipped = (level: number): number => Math.min(Math.max(level, -LEVEL_LIMIT), LEVEL_LIMIT);
  const cost = (level: number, place: number): number => costs.data[(clipped(level) + LEVEL_LIMIT) * area + place];
  const bits = (levels: ArrayLike<number>): number => {
    let sum = 0;
    for (let i = 0; i < area; i++) sum += cost(levels[i], i);
    return sum;
  };
  const moved = (by: number): Float64Array => wanted.data.map((value) => clipped(roundEven(value + by)));
  const budget = bits(new Int8Array(area));

  let move = 0;
  for (const step of [1, 0.125]) move = nearest(move, step, (by) => Math.abs(bits(moved(by)) - budget)); // cost rises with the move
  let levels = new Int8Array(area);
  for (let fit = 0; fit < FITS; fit++) {
    const slopes = moved(move).map((level, i) => (cost(level + 1, i) - cost(level - 1, i)) / 2);
    const aims = wanted.data.map((value) => value + move);
    const found = fitLevels({ ...wanted, data: aims }, slopes.map((slope) => LOSS * slope));
    levels = found.levels;
    if (levels.every((level) => level === 0)) break;
    const slope = slopes.reduce((a, b) => a + b, 0);
    move -= (bits(levels) + found.bits - budget) / Math.max(slope, 1);
  }
  return plane(levels, 1, wanted);
}

/** The move with the least error among those up to eight steps away; of equal ones the least move. */
function nearest(from: number, step: number, errorOf: (by: number) => number): number {
  let best = from;
  let least = Infinity;
  for (let k = -8; k <= 8; k++) {
    const by = from + step * k;
    const error = errorOf(by);
    if (error < least || (error === least && Math.abs(by) < Math.abs(best))) [best, least] = [by, error];
  }
  return best;
}
