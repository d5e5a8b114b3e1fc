/** Metadata boxes behind a payload: found and checked, never inflated. */

import { DamagedError, FormatError, TruncatedError } from "../errors.js";
import { crc32 } from "./checks.js";
import { readVarint } from "./varint.js";

export type Metadata = "exif" | "icc" | "xmp";

const LETTERS: Readonly<Record<string, Metadata>> = { E: "exif", I: "icc", X: "xmp" };

/**
 * The kinds of metadata whose boxes begin at `start`, and the position after them.
 *
 * @throws TruncatedError, DamagedError, FormatError if the boxes are not valid
 */
export function readBoxes(data: Uint8Array, start: number): [Metadata[], number] {
  const found: Metadata[] = [];
  let at = start;
  while (data[at] !== 0) {
    if (at >= data.length) throw new TruncatedError("the file ends within its metadata");
    const letter = String.fromCharCode(data[at]);
    const [length, body] = readVarint(data, at + 1, "metadata length");
    at = body + length;
    if (data.length < at) throw new TruncatedError("the file ends within its metadata");
    const kind = LETTERS[letter];
    if (kind && !found.includes(kind)) found.push(kind);
    else if (!/[a-z]/.test(letter)) {
      throw new FormatError(`metadata box ${JSON.stringify(letter)} is unknown or occurs twice`);
    }
  }
  if (data.length < at + 5) throw new TruncatedError("the file ends within its metadata");
  const stored = new DataView(data.buffer, data.byteOffset + at + 1, 4).getUint32(0, true);
  if (crc32(data.subarray(start, at)) !== stored) {
    throw new DamagedError("the metadata are damaged: their checksum does not match");
  }
  return [found, at + 5];
}
