/** Decode lossless stills: a VP8L bitstream (RFC 9649, section 3) whose header is the file's. */

import { plane } from "../codec/planes.js";
import type { Pixels } from "../codec/still.js";
import { DamagedError, FormatError, TruncatedError } from "../errors.js";
import { BitReader, readPrefixCode, type PrefixCode } from "./prefix_codes.js";
import { addColours, addGreen, addPredictions, lookUp, type Argb, type Transform } from "./vp8l_transforms.js";

const MAX_SIDE = 2 ** 14;
const LENGTHS = 24;
const DISTANCES = 40;
const GREEN = 256;
/** The nearest 120 places: rows above · 16 + (8 − columns to the left), in the order of RFC 9649. */
const NEAR = Uint8Array.from(
  (
    "18 07 17 19 28 06 27 29 16 1a 26 2a 38 05 37 39 15 1b 36 3a 25 2b 48 04 47 49 14 1c 35 3b 46 4a 24 2c 58 45 4b 34 " +
    "3c 03 57 59 13 1d 56 5a 23 2d 44 4c 55 5b 33 3d 68 02 67 69 12 1e 66 6a 22 2e 54 5c 43 4d 65 6b 32 3e 78 01 77 79 " +
    "53 5d 11 1f 64 6c 42 4e 76 7a 21 2f 75 7b 31 3f 63 6d 52 5e 00 74 7c 41 4f 10 20 62 6e 30 73 7d 51 5f 40 72 7e 61 " +
    "6f 50 71 7f 60 70"
  ).split(" "),
  (code) => parseInt(code, 16),
);

/** Prefix codes of green (with lengths and cached colours), red, blue, alpha and distance. */
type Codes = readonly PrefixCode[];

/**
 * Decode a payload.
 *
 * @throws FormatError if it cannot be decoded, as TruncatedError or DamagedError, or a side is above 2¹⁴
 */
export function decodeLossless(payload: Uint8Array, width: number, height: number): Pixels {
  if (Math.max(width, height) > MAX_SIDE) {
    throw new FormatError(`sides of a lossless image are at most ${MAX_SIDE}, not ${width}×${height}`);
  }
  if (!payload.length) throw new TruncatedError("the lossless image is empty");
  const bits = new BitReader(payload);
  const [transforms, coded] = readTransforms(bits, width, height);
  const cacheBits = readCacheBits(bits);
  const groups = readGroups(bits, coded, height, cacheBits);
  let image: Argb = { pixels: readPixels(bits, coded, height, cacheBits, groups), width: coded };
  for (const transform of transforms.reverse()) image = transform(image);
  const out = new Uint8Array(3 * width * height);
  image.pixels.forEach((argb, i) => {
    out[3 * i] = argb >> 16;
    out[3 * i + 1] = argb >> 8;
    out[3 * i + 2] = argb;
  });
  return plane(out, 1, { height, width: 3 * width });
}

/** The transforms in the order in which they were applied, and the columns that are coded after them. */
function readTransforms(bits: BitReader, width: number, height: number): [Transform[], number] {
  const found: Transform[] = [];
  const seen = new Set<number>();
  let columns = width;
  while (bits.read(1)) {
    const kind = bits.read(2);
    if (seen.has(kind)) throw new DamagedError("the lossless image is damaged: it has a transform twice");
    seen.add(kind);
    if (kind === 2) {
      found.push(addGreen);
    } else if (kind === 3) {
      const colours = readColours(bits);
      const count = colours.length;
      const packed = count <= 2 ? 3 : count <= 4 ? 2 : count <= 16 ? 1 : 0;
      found.push(lookUp(colours, packed, columns));
      columns = Math.ceil(columns / 2 ** packed);
    } else {
      const side = bits.read(3) + 2;
      const blocks = readImage(bits, Math.ceil(columns / 2 ** side), Math.ceil(height / 2 ** side));
      found.push(kind === 0 ? addPredictions(side, blocks) : addColours(side, blocks));
    }
  }
  return [found, columns];
}

function readColours(bits: BitReader): Uint32Array {
  const { pixels } = readImage(bits, bits.read(8) + 1, 1);
  for (let i = 1; i < pixels.length; i++) {
    let sum = 0;
    for (const shift of [0, 8, 16, 24]) sum |= (((pixels[i] >>> shift) + (pixels[i - 1] >>> shift)) & 0xff) << shift;
    pixels[i] = sum;
  }
  return pixels;
}

/** An image within the bitstream. */
function readImage(bits: BitReader, width: number, height: number): Argb {
  const cacheBits = readCacheBits(bits);
  const codes = readCodes(bits, cacheBits);
  return { pixels: readPixels(bits, width, height, cacheBits, () => codes), width };
}

function readCacheBits(bits: BitReader): number {
  if (!bits.read(1)) return 0;
  const found = bits.read(4);
  if (found < 1 || found > 11) throw new DamagedError(`the lossless image is damaged: it has a cache of ${found} bits`);
  return found;
}

/** Which codes a place has. */
function readGroups(bits: BitReader, width: number, height: number, cacheBits: number): (x: number, y: number) => Codes {
  if (!bits.read(1)) {
    const codes = readCodes(bits, cacheBits);
    return () => codes;
  }
  const side = bits.read(3) + 2;
  const blocks = readImage(bits, Math.ceil(width / 2 ** side), Math.ceil(height / 2 ** side));
  const numbers = blocks.pixels.map((argb) => (argb >> 8) & 0xffff);
  const used = new Set(numbers);
  const groups = new Map<number, Codes>();
  const count = numbers.reduce((most, number) => Math.max(most, number), 0) + 1;
  for (let number = 0; number < count; number++) {
    const codes = readCodes(bits, cacheBits);
    if (used.has(number)) groups.set(number, codes);
  }
  return (x, y) => groups.get(numbers[(y >> side) * blocks.width + (x >> side)])!;
}

function readCodes(bits: BitReader, cacheBits: number): Codes {
  const green = GREEN + LENGTHS + (cacheBits ? 2 ** cacheBits : 0);
  return [green, 256, 256, 256, DISTANCES].map((size) => readPrefixCode(bits, size));
}

function readPixels(
  bits: BitReader,
  width: number,
  height: number,
  cacheBits: number,
  codesAt: (x: number, y: number) => Codes,
): Uint32Array {
  const pixels = new Uint32Array(width * height);
  const cache = new Uint32Array(2 ** cacheBits);
  const remember = (argb: number): void => {
    if (cacheBits) cache[Math.imul(argb, 0x1e35a7bd) >>> (32 - cacheBits)] = argb;
  };
  for (let at = 0; at < pixels.length; ) {
    const x = at % width;
    const codes = codesAt(x, (at - x) / width);
    const symbol = codes[0].read(bits);
    if (symbol < GREEN) {
      const red = codes[1].read(bits);
      const blue = codes[2].read(bits);
      const alpha = codes[3].read(bits);
      const argb = ((alpha << 24) | (red << 16) | (symbol << 8) | blue) >>> 0;
      pixels[at++] = argb;
      remember(argb);
    } else if (symbol < GREEN + LENGTHS) {
      const length = prefixed(bits, symbol - GREEN);
      const distance = distanceOf(prefixed(bits, codes[4].read(bits)), width);
      if (distance > at || at + length > pixels.length) {
        throw new DamagedError("the lossless image is damaged: it copies pixels that are not there");
      }
      for (const end = at + length; at < end; at++) {
        pixels[at] = pixels[at - distance];
        remember(pixels[at]);
      }
    } else {
      pixels[at] = cache[symbol - GREEN - LENGTHS];
      remember(pixels[at++]);
    }
  }
  return pixels;
}

/** A length or distance from its prefix and the bits that follow. */
function prefixed(bits: BitReader, prefix: number): number {
  if (prefix < 4) return prefix + 1;
  const extra = (prefix - 2) >> 1;
  return ((2 + (prefix & 1)) << extra) + bits.read(extra) + 1;
}

function distanceOf(code: number, width: number): number {
  if (code > NEAR.length) return code - NEAR.length;
  const near = NEAR[code - 1];
  return Math.max(1, (near >> 4) * width + 8 - (near & 0xf));
}
