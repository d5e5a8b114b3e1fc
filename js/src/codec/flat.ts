/** Flat graphics, such as screenshots and charts: coded as AV1 stills where there is an encoder. */

import { TargetSizeError } from "../errors.js";
import { readSequenceHeader, stripContainer } from "../format/av1.js";
import { crc32 } from "../format/checks.js";
import { headerFields, MAX_QUALITY, writeFile, type Header } from "../format/header.js";
import type { Pixels } from "./still.js";

/** Encodes pixels to an AVIF file at AVIF's quality 0 … 100. */
export type EncodeAvif = (pixels: Pixels, quality: number) => Promise<Uint8Array>;

/** From this share of pixels that equal their left neighbour, an image is flat. */
const FLAT = 0.5;
/** Images of so few colours are flat in any case. */
const FEW_COLOURS = 32;
/** Rows that are looked at, evenly spaced. */
const ROWS = 512;

/** Balanced errors, squared grey levels, that a quality stands for: those of Python's `cotam.codec.flat`. */
const ERRORS = [[0, 691], [20, 265], [50, 81], [80, 30], [100, 14]] as const;
/** The same of the encoder here at AVIF's qualities: medians over 18 training screens. */
const AVIF_ERRORS = [[2, 1342.5], [12, 334.4], [30, 104.1], [60, 21.9], [80, 15.8]] as const;

const TRIES = 4;
/** Growth of the logarithm of a file's bytes with quality, about. */
const GROWTH = 0.02;
/** Files that take this share of the bytes that they may are large enough. */
const FULL = 0.94;
const MAX_SIDE = 2 ** 15;

export function isFlat(pixels: Pixels): boolean {
  if (Math.max(pixels.width / 3, pixels.height) > MAX_SIDE) return false;
  return flatness(pixels) >= FLAT || hasFewColours(pixels);
}

function flatness({ data, width, height }: Pixels): number {
  if (width < 6) return 0;
  const step = Math.max(1, Math.floor(height / ROWS));
  let equal = 0;
  let count = 0;
  for (let row = 0; row < height; row += step) {
    for (let at = row * width + 3; at < (row + 1) * width; at += 3, count++) {
      if (data[at] === data[at - 3] && data[at + 1] === data[at - 2] && data[at + 2] === data[at - 1]) equal++;
    }
  }
  return equal / count;
}

function hasFewColours({ data }: Pixels): boolean {
  const colours = new Set<number>();
  for (let at = 0; at < data.length && colours.size <= FEW_COLOURS; at += 3) {
    colours.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
  }
  return colours.size <= FEW_COLOURS;
}

/** Encode with the error that `quality` stands for. */
export async function encodeFlat(pixels: Pixels, quality: number, encodeAvif: EncodeAvif): Promise<Uint8Array> {
  const payload = stripContainer(await encodeAvif(pixels, avifQualityFor(quality)));
  readSequenceHeader(payload);
  const header: Header = {
    kind: "av1",
    width: pixels.width / 3,
    height: pixels.height,
    quality,
    weights: "",
    hasLevels: false,
  };
  return writeFile(header, payload, crc32(payload, crc32(headerFields(header))));
}

/**
 * Encode at a high quality, found with few tries, whose file has at most `size` bytes.
 *
 * @throws TargetSizeError if the file of quality 0 is larger
 */
export async function encodeFlatWithin(pixels: Pixels, size: number, encodeAvif: EncodeAvif): Promise<Uint8Array> {
  let best: Uint8Array | undefined;
  let low = -1;
  let high = MAX_QUALITY + 1;
  let quality = MAX_QUALITY / 2;
  for (let tries = 0; tries < TRIES; tries++) {
    const file = await encodeFlat(pixels, quality, encodeAvif);
    const { length } = file;
    if (length <= size) {
      best = file;
      low = quality;
    } else {
      high = quality;
    }
    if (high - low <= 1 || (low === quality && length >= FULL * size)) break;
    const step = Math.log(size / length) / GROWTH;
    quality = Math.min(Math.max(Math.round(quality + step), low + 1), high - 1);
  }
  best ??= await encodeFlat(pixels, 0, encodeAvif);
  if (best.length > size) throw TargetSizeError.of(size, best.length);
  return best;
}

/** AVIF's quality with the error that a quality stands for. */
function avifQualityFor(quality: number): number {
  const error = -line(quality, ERRORS.map(([at, value]) => [at, Math.log(value)]));
  const found = line(error, AVIF_ERRORS.map(([at, value]) => [-Math.log(value), at]));
  return Math.min(Math.max(Math.round(found), 0), 100);
}

/** The straight line between points, prolonged beyond the first and the last. */
function line(x: number, points: readonly (readonly [number, number])[]): number {
  const rising = points.filter(([at]) => x >= at).length - 1;
  const index = Math.min(Math.max(rising, 0), points.length - 2);
  const [[x0, y0], [x1, y1]] = [points[index], points[index + 1]];
  return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}
