/** Integers of one to five bytes, seven bits a byte, least significant first. */

import { FormatError, TruncatedError } from "../errors.js";

/** The bytes of a non-negative integer below 2³⁵. */
export function varint(value: number): number[] {
  const out = [];
  while (value > 0x7f) {
    out.push((value % 0x80) | 0x80);
    value = Math.floor(value / 0x80);
  }
  out.push(value);
  return out;
}

/**
 * Read the integer at position `at`; returns it and the position after it.
 *
 * @throws TruncatedError, FormatError if it is cut off, has more than five bytes, or is not in its shortest form
 */
export function readVarint(data: Uint8Array, at: number, what: string): [number, number] {
  let value = 0;
  for (let count = 0; count < 5; count++) {
    if (at + count >= data.length) throw new TruncatedError(`the file ends within its ${what}`);
    const byte = data[at + count];
    value += (byte & 0x7f) * 2 ** (7 * count);
    if (byte < 0x80) {
      if (byte === 0 && count) break;
      return [value, at + count + 1];
    }
  }
  throw new FormatError(`the ${what} is not a valid number`);
}
