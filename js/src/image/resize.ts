/** Resize images as Pillow does: in integers, after a reduction by whole factors where that is large. */

import { plane } from "../codec/planes.js";
import type { Pixels } from "../codec/still.js";

/** A filter for a scale of 1: its weight at a distance, which is 0 from `support` on. */
interface Filter {
  readonly support: number;
  readonly at: (x: number) => number;
}

const LANCZOS: Filter = { support: 3, at: (x) => (x < -3 || x >= 3 ? 0 : sinc(x) * sinc(x / 3)) };
const BILINEAR: Filter = { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) };

const PRECISION = 22;
/** Pillow's `reducing_gap`: the image is first reduced to no less than this times the wanted size. */
const GAP = 3;

/** Resize to a smaller image, as `Image.resize(size, LANCZOS, reducing_gap=3.0)`. */
export function shrink(pixels: Pixels, width: number, height: number): Pixels {
  const factorX = Math.floor(pixels.width / 3 / width / GAP) || 1;
  const factorY = Math.floor(pixels.height / height / GAP) || 1;
  return filtered(pixels, [factorX, factorY], width, height, LANCZOS);
}

/** Resize for a guide: antialiased, as `cotam.guide.resize.resize_bilinear`. */
export function resize(pixels: Pixels, width: number, height: number): Pixels {
  const factor = Math.max(1, Math.floor(Math.min(pixels.height / height, pixels.width / 3 / width) / 1.5));
  return filtered(pixels, [factor, factor], width, height, BILINEAR);
}

/** Resize by a filter what is first reduced by whole factors; rows and columns beyond these keep their share. */
function filtered(
  pixels: Pixels,
  [factorX, factorY]: readonly [number, number],
  width: number,
  height: number,
  filter: Filter,
): Pixels {
  if (pixels.width === 3 * width && pixels.height === height) return pixels;
  const reduced = factorX > 1 || factorY > 1 ? reduce(pixels, factorX, factorY) : pixels;
  const across = contributions(reduced.width / 3, pixels.width / 3 / factorX, width, filter);
  const down = contributions(reduced.height, pixels.height / factorY, height, filter);
  const verticalFirst = height < reduced.height && 2 * (reduced.width / 3 - width) < reduced.height - height;
  return verticalFirst ? horizontal(vertical(reduced, down), across) : vertical(horizontal(reduced, across), down);
}

/** Means of blocks of pixels; those at the end have what is left. */
export function reduce(pixels: Pixels, factorX: number, factorY: number): Pixels {
  const columns = pixels.width / 3;
  const size = { height: Math.ceil(pixels.height / factorY), width: 3 * Math.ceil(columns / factorX) };
  const out = plane(new Uint8Array(size.height * size.width), 1, size);
  for (let y = 0, at = 0; y < size.height; y++) {
    const bottom = Math.min((y + 1) * factorY, pixels.height);
    for (let x = 0; x < size.width / 3; x++) {
      const right = Math.min((x + 1) * factorX, columns);
      const count = (bottom - y * factorY) * (right - x * factorX);
      const multiplier = Math.floor(2 ** 24 / count);
      for (let channel = 0; channel < 3; channel++, at++) {
        let sum = count >> 1;
        for (let row = y * factorY; row < bottom; row++) {
          for (let column = x * factorX; column < right; column++) {
            sum += pixels.data[row * pixels.width + 3 * column + channel];
          }
        }
        out.data[at] = Math.floor((sum * multiplier) / 2 ** 24);
      }
    }
  }
  return out;
}

/** For each place of an axis: the first place that it takes from, and integer weights of those from there on. */
interface Contributions {
  readonly starts: Int32Array;
  readonly weights: readonly Int32Array[];
}

/** @param extent of the source that is resized: less than its `length` where the last block of it was cut off */
function contributions(length: number, extent: number, wanted: number, filter: Filter): Contributions {
  const scale = Math.fround(extent) / wanted;
  const support = filter.support * Math.max(scale, 1);
  const starts = new Int32Array(wanted);
  const weights = Array.from({ length: wanted }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    starts[place] = first;
    const inverse = 1 / Math.max(scale, 1);
    const values = Array.from({ length: last - first }, (_, i) => filter.at((first + i - centre + 0.5) * inverse));
    const share = 1 / values.reduce((a, b) => a + b, 0);
    return Int32Array.from(values, (value) => {
      const scaled = value * share * 2 ** PRECISION;
      return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
  });
  return { starts, weights };
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

function clipped(sum: number): number {
  return Math.min(Math.max(sum >> PRECISION, 0), 255);
}

function horizontal(pixels: Pixels, { starts, weights }: Contributions): Pixels {
  const size = { height: pixels.height, width: 3 * weights.length };
  const out = plane(new Uint8Array(size.height * size.width), 1, size);
  for (let row = 0, at = 0; row < size.height; row++) {
    for (let place = 0; place < weights.length; place++) {
      const from = row * pixels.width + 3 * starts[place];
      for (let channel = 0; channel < 3; channel++, at++) {
        let sum = 1 << (PRECISION - 1);
        for (let i = 0; i < weights[place].length; i++) sum += pixels.data[from + 3 * i + channel] * weights[place][i];
        out.data[at] = clipped(sum);
      }
    }
  }
  return out;
}

function vertical(pixels: Pixels, { starts, weights }: Contributions): Pixels {
  const size = { height: weights.length, width: pixels.width };
  const out = plane(new Uint8Array(size.height * size.width), 1, size);
  for (let place = 0, at = 0; place < weights.length; place++) {
    for (let column = 0; column < size.width; column++, at++) {
      let sum = 1 << (PRECISION - 1);
      for (let i = 0; i < weights[place].length; i++) {
        sum += pixels.data[(starts[place] + i) * size.width + column] * weights[place][i];
      }
      out.data[at] = clipped(sum);
    }
  }
  return out;
}
