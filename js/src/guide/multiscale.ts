/**
 * Hierarchical guidance: the importance map of the whole image, fused with maps of its tiles.
 *
 * A vision encoder sees a large image small, as a whole, and many multimodal LLMs add tiles of it at full scale: both
 * count.
 */

import { crop, roundEven } from "../codec/planes.js";
import type { Pixels } from "../codec/still.js";
import { reduce, resize } from "../image/resize.js";
import type { Look } from "./graph.js";
import { mean, resample, weighted, type GridMap, type Weights } from "./maps.js";

/** Weight of the local maps in the logarithm. */
const FUSION = 0.5;
/** Larger images are shrunk to this many pixels before they are cut into tiles. */
const LOCAL_PIXELS = 4_000_000;
/** Images are shrunk until they have no more tiles than this. */
const MAX_TILES = 48;
/** Share of its side that a tile has in common with its neighbour, at least. */
const OVERLAP = 0.25;

type Ask = (pixels: Pixels) => Promise<Look>;
type Size = readonly [height: number, width: number];

/** The importance map, positive and of mean 1, of an image of any size; `side` is what the guide sees at once. */
export async function importance(ask: Ask, side: number, pixels: Pixels): Promise<GridMap> {
  const [height, width] = [pixels.height, pixels.width / 3];
  if (Math.max(height, width) <= side) return (await ask(pixels)).importance;
  const factor = Math.ceil(Math.sqrt((height * width) / LOCAL_PIXELS));
  const reduced = factor > 1 ? reduce(pixels, factor, factor) : pixels;
  const size = localSize(reduced.height, reduced.width / 3, side);
  const local = resize(reduced, size[1], size[0]);
  const [rows, columns] = fitted(...size, side);
  const whole = (await ask(resize(local, columns, rows))).importance;
  return Math.max(...size) <= side ? whole : fused(ask, side, local, whole);
}

/** The largest size of this aspect, not above the image's, that has at most `MAX_TILES` tiles. */
function localSize(height: number, width: number, side: number): Size {
  const hasMore = (length: number): boolean => {
    const [rows, columns] = fitted(height, width, length);
    return length > side && starts(rows, side).length * starts(columns, side).length > MAX_TILES;
  };
  let low = 0;
  let high = Math.max(height, width) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (hasMore(middle)) high = middle;
    else low = middle + 1;
  }
  return fitted(height, width, low - 1);
}

/** The size of this aspect whose long side is `length`, or less where the image is smaller. */
function fitted(height: number, width: number, length: number): Size {
  const scale = Math.min(1, length / Math.max(height, width));
  return [Math.max(1, roundEven(height * scale)), Math.max(1, roundEven(width * scale))];
}

/** Where tiles of `side` begin on an axis, evenly spaced from its beginning to its end. */
function starts(length: number, side: number): number[] {
  if (length <= side) return [0];
  const count = Math.ceil((length - side) / (side * (1 - OVERLAP))) + 1;
  return Array.from({ length: count }, (_, i) => roundEven((i * (length - side)) / (count - 1)));
}

/** Fuse the global map with the maps of all tiles, on a grid as fine as that of a tile. */
async function fused(ask: Ask, side: number, pixels: Pixels, whole: GridMap): Promise<GridMap> {
  const [height, width] = [pixels.height, pixels.width / 3];
  let overall: GridMap | undefined;
  let total = new Float64Array(0);
  let weight = new Float64Array(0);
  for (const top of starts(height, side)) {
    for (const left of starts(width, side)) {
      const [bottom, right] = [Math.min(top + side, height), Math.min(left + side, width)];
      const { importance: local } = await ask(crop(pixels, [top, bottom], [3 * left, 3 * right]));
      if (!overall) {
        const rows = Math.ceil((height * local.height) / (bottom - top));
        overall = resample(whole, rows, Math.ceil((width * local.width) / (right - left)));
        total = new Float64Array(overall.data.length);
        weight = new Float64Array(overall.data.length);
      }
      const down = placed(top, bottom - top, local.height, height, overall.height);
      const across = placed(left, right - left, local.width, width, overall.width);
      // The local map ranks places within the tile, the global map the tile among others.
      const scale = meanOf(overall, down, across) / mean(local);
      const logarithms = local.data.map((value) => Math.log(value * scale));
      const found = weighted(down.weights, { ...local, data: logarithms }, across.weights);
      for (let row = 0, from = 0; row < found.height; row++) {
        for (let column = 0; column < found.width; column++, from++) {
          const at = (down.first + row) * overall.width + across.first + column;
          const window = down.window[row] * across.window[column];
          total[at] += window * found.data[from];
          weight[at] += window;
        }
      }
    }
  }
  const data = overall!.data.map((value, i) => Math.exp((1 - FUSION) * Math.log(value) + (FUSION * total[i]) / weight[i]));
  const average = mean({ ...overall!, data });
  return { ...overall!, data: data.map((value) => Math.fround(value / average)) };
}

/** One axis of a tile's map on the grid of the image. */
interface Placed {
  /** The first cell of the image's grid whose centre lies in the tile; `weights` has one row for each of them. */
  readonly first: number;
  /** Linear interpolation of the tile's values. */
  readonly weights: Weights;
  readonly window: readonly number[];
}

function placed(start: number, length: number, values: number, whole: number, grid: number): Placed {
  const cells = Array.from({ length: grid }, (_, cell) => ((cell + 0.5) * whole) / grid - start);
  const isInside = (centre: number): boolean => centre >= 0 && centre < length;
  const centres = cells.filter(isInside);
  const weights = centres.map((centre) => {
    const at = Math.min(Math.max((centre * values) / length - 0.5, 0), values - 1);
    const low = Math.min(Math.floor(at), Math.max(values - 2, 0));
    const row = new Float64Array(values);
    row[low] = 1 - (at - low);
    if (values > 1) row[low + 1] += at - low;
    return row;
  });
  // Zero at the tile's ends, but for a little that remains at the edge of the image.
  const window = centres.map((centre) => Math.sin((Math.PI * centre) / length) ** 2 + 1e-6);
  return { first: cells.findIndex(isInside), weights, window };
}

/** Mean of a map where a tile lies. */
function meanOf(grid: GridMap, down: Placed, across: Placed): number {
  let sum = 0;
  for (let row = 0; row < down.window.length; row++) {
    const at = (down.first + row) * grid.width + across.first;
    sum += grid.data.subarray(at, at + across.window.length).reduce((a, b) => a + b, 0);
  }
  return sum / (down.window.length * across.window.length);
}
