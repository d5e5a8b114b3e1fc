/** Kinds of rules that cut an image into tiles, as `cotam.image.tilings` in Python has them. */

import type { Rule, Seen, Size } from "./rule.js";
import { roundEven } from "../codec/planes.js";

/** The first of the largest, as Python's `max` with a key. */
function largest<T>(values: readonly T[], key: (value: T) => number): T {
  return values.reduce((best, value) => (key(value) > key(best) ? value : best));
}

/** All grids of at least `least` and at most `most` tiles, by columns, then rows. */
function grids(least: number, most: number): Size[] {
  const found: Size[] = [];
  for (let columns = 1; columns <= most; columns++) {
    for (let rows = 1; rows <= most; rows++) {
      if (columns * rows >= least && columns * rows <= most) found.push([columns, rows]);
    }
  }
  return found;
}

interface CanvasesParameters {
  canvases: readonly Size[];
  tile: number;
  side: number;
  pool?: number;
}

/**
 * LLaVA: fit into the canvas that keeps most of the image, cut into tiles, and a small view beside them.
 *
 * A tile is `side` × `side` tokens. With `pool` more tokens than `pool` tiles have are pooled.
 */
function canvases(p: Readonly<CanvasesParameters>): Rule {
  return (width, height) => {
    const canvas = bestCanvas(width, height, p.canvases);
    const scale = Math.min(canvas[0] / width, canvas[1] / height);
    const fit = (length: number, most: number) => Math.min(Math.ceil(length * scale), most);
    const across = p.side * Math.floor(canvas[0] / p.tile);
    const down = p.side * Math.floor(canvas[1] / p.tile);
    const tokens = unpaddedTokens([width, height], across, down, (p.pool ?? 0) * p.side ** 2);
    return { size: [fit(width, canvas[0]), fit(height, canvas[1])], tokens: tokens + p.side ** 2 };
  };
}

/** The canvas that keeps most of the image and, of those, wastes least (LLaVA-NeXT). */
function bestCanvas(width: number, height: number, all: readonly Size[]): Size {
  const kept = (canvas: Size) => {
    const scale = Math.min(canvas[0] / width, canvas[1] / height);
    return Math.min(Math.trunc(width * scale) * Math.trunc(height * scale), width * height);
  };
  const most = Math.max(...all.map(kept));
  return largest(
    all.filter((canvas) => kept(canvas) === most),
    (canvas) => -canvas[0] * canvas[1],
  );
}

/** Tokens of a canvas without its padding, and one for each row; more than `most` (0: no limit) are pooled. */
function unpaddedTokens([width, height]: Size, across: number, down: number, most: number): number {
  const sevenDigits = (value: number) => Math.trunc(Number(value.toFixed(7)));
  if (width / height > across / down) {
    down -= Math.floor((down - sevenDigits(height * (across / width))) / 2) * 2;
  } else {
    across -= Math.floor((across - sevenDigits(width * (down / height))) / 2) * 2;
  }
  const ratio = most ? Math.sqrt((across * down) / most) : 0;
  if (ratio > 1.1) [across, down] = [floorDivide(across, ratio), floorDivide(down, ratio)];
  return across * down + down;
}

/** Python's `//` of floats: exact, where the quotient itself would be rounded up. */
function floorDivide(value: number, divisor: number): number {
  return Math.round((value - (value % divisor)) / divisor);
}

interface StretchedParameters {
  tile: number;
  least: number;
  most: number;
  tokens_per_tile: number;
  tokens_of_view: number;
  extra: number;
  view_of_one: boolean;
  tile_above?: number;
  whole?: number;
}

/**
 * Stretch to the grid of tiles with the nearest proportions, and a small view of the whole beside it.
 *
 * Images with no side above `tile_above` are not cut: their longer side becomes `whole` pixels.
 */
function stretchedTiles(p: Readonly<StretchedParameters>): Rule {
  return (width, height) => {
    if (Math.max(width, height) <= (p.tile_above ?? 0)) {
      const scale = (p.whole ?? 0) / Math.max(width, height);
      const side = (length: number) => Math.max(1, roundEven(length * scale));
      return { size: [side(width), side(height)], tokens: p.tokens_of_view + p.extra };
    }
    const [columns, rows] = nearestGrid(width, height, p.tile, p.least, p.most);
    const count = columns * rows;
    const view = count > 1 || p.view_of_one ? p.tokens_of_view : 0;
    return { size: [columns * p.tile, rows * p.tile], tokens: p.tokens_per_tile * count + view + p.extra };
  };
}

/** The grid with the nearest proportions (InternVL); among equals the largest, half filled. */
function nearestGrid(width: number, height: number, tile: number, least: number, most: number): Size {
  const sorted = grids(least, most).sort((a, b) => a[0] * a[1] - b[0] * b[1]);
  let best: Size = [1, 1];
  let smallest = Infinity;
  for (const [columns, rows] of sorted) {
    const difference = Math.abs(width / height - columns / rows);
    const halfFilled = width * height > 0.5 * tile * tile * columns * rows;
    if (difference < smallest || (difference === smallest && halfFilled)) {
      best = [columns, rows];
      smallest = difference;
    }
  }
  return best;
}

/** Llama 4: fit, padded, into the smallest canvas of tiles that holds the image, or else the largest. */
function paddedTiles(p: Readonly<{ tile: number; most: number; tokens_per_tile: number }>): Rule {
  return (width, height) => {
    // The scale is compared in single precision, as transformers does it.
    const scale = ([columns, rows]: Size) =>
      Math.fround(Math.min((columns * p.tile) / width, (rows * p.tile) / height));
    const all = grids(1, p.most);
    const enlarging = all.map(scale).filter((value) => value >= 1);
    const chosen = enlarging.length ? Math.min(...enlarging) : Math.max(...all.map(scale));
    const [columns, rows] = largest(
      all.filter((grid) => scale(grid) === chosen),
      ([across, down]) => -across * down,
    );
    const count = columns * rows;
    return {
      size: padded(width, height, columns * p.tile, rows * p.tile, p.tile),
      tokens: p.tokens_per_tile * (count + (count > 1 ? 1 : 0)),
    };
  };
}

/** Size of the image in its canvas; a small image is enlarged to one tile at most. */
function padded(width: number, height: number, canvasWidth: number, canvasHeight: number, tile: number): Size {
  const targetWidth = Math.min(Math.max(width, tile), canvasWidth);
  const targetHeight = Math.min(Math.max(height, tile), canvasHeight);
  const across = targetWidth / width;
  const down = targetHeight / height;
  const size: Size =
    across < down
      ? [targetWidth, Math.min(Math.floor(height * across), targetHeight)]
      : [Math.min(Math.floor(width * down), targetWidth), targetHeight];
  return [Math.max(1, size[0]), Math.max(1, size[1])];
}

interface SlicesParameters {
  side: number;
  most: number;
  step: number;
}

/** MiniCPM-V: slices of about `side`² pixels and a small view of the whole, a token for `step`² pixels. */
function slices(p: Readonly<SlicesParameters>): Rule {
  return (width, height) => {
    const grid = sliceGrid(width, height, p.side, p.most);
    const view = nearSquare(width, height, p.side, p.step, grid === null);
    if (!grid) return { size: view, tokens: Math.floor((view[0] * view[1]) / p.step ** 2) };
    const [columns, rows] = grid;
    const cell: Size = [multiple(width, columns) / columns, multiple(height, rows) / rows];
    const [across, down] = nearSquare(...cell, p.side, p.step, true);
    const size: Size = [across * columns, down * rows];
    return { size, tokens: Math.floor((size[0] * size[1] + view[0] * view[1]) / p.step ** 2) };
  };
}

function sliceGrid(width: number, height: number, side: number, most: number): Size | null {
  const wanted = Math.min(Math.ceil((width * height) / (side * side)), most);
  if (wanted <= 1) return null;
  let best: Size = [1, 1];
  let smallest = Infinity;
  const proportion = Math.log(width / height);
  for (const count of [wanted - 1, wanted, wanted + 1]) {
    if (count === 1 || count > most) continue;
    for (let rows = 1; rows <= count; rows++) {
      if (count % rows) continue;
      const columns = count / rows;
      const error = Math.abs(proportion - Math.log(columns / rows));
      if (error < smallest || (error === smallest && rows > best[1])) {
        best = [columns, rows];
        smallest = error;
      }
    }
  }
  return best;
}

function nearSquare(width: number, height: number, side: number, step: number, enlarge: boolean): Size {
  if (width * height > side * side || enlarge) {
    const proportion = width / height;
    height = Math.trunc(side / Math.sqrt(proportion));
    width = Math.trunc(height * proportion);
  }
  return [multiple(width, step), multiple(height, step)];
}

function multiple(length: number, step: number): number {
  return Math.max(roundEven(length / step) * step, step);
}

/** Phi-4: crops of `tile` pixels that hold the image, padded, and a small view of the whole. */
function crops(p: Readonly<{ tile: number; most: number }>): Rule {
  return (width, height) => {
    let grid: Size = [Math.ceil(width / p.tile), Math.ceil(height / p.tile)];
    if (grid[0] * grid[1] > p.most) grid = nearestGrid(width, height, p.tile, 1, p.most);
    const canvas: Size = [grid[0] * p.tile, grid[1] * p.tile];
    const across = canvas[0] / width;
    const down = canvas[1] / height;
    const size: Size =
      across < down ? [canvas[0], Math.trunc(height * across)] : [Math.trunc(width * down), canvas[1]];
    const patch = Math.floor(p.tile / 32);
    const tokens = (i: 0 | 1) =>
      Math.floor((32 * grid[i] - Math.floor((canvas[i] - size[i]) / patch) + 1) / 2);
    // 256 of the small view, a separator, 16 ends of its rows, and an end for each row of the crops.
    const all = 256 + 1 + 16 + tokens(0) * tokens(1) + tokens(1);
    return { size: [Math.max(1, size[0]), Math.max(1, size[1])], tokens: all };
  };
}

/** Molmo 2: stretched to crops of 378 pixels that overlap by 112, and a small view of the whole. */
function overlappingCrops({ most }: Readonly<{ most: number }>): Rule {
  const [window, margin, patch, view] = [19 * 14, 8 * 14, 14, 14];
  return (width, height) => {
    const all = grids(1, most).sort((a, b) => a[0] * a[1] - b[0] * b[1] || a[1] - b[1]);
    const part = (count: number, length: number) =>
      Math.fround(length ? Math.fround(count * window) / length : Infinity);
    const scale = ([columns, rows]: Size) =>
      Math.min(part(columns, width - margin), part(rows, height - margin));
    const enlarging = all.filter((grid) => scale(grid) >= 1);
    const [columns, rows] = enlarging.length ? largest(enlarging, (grid) => -scale(grid)) : largest(all, scale);
    const size: Size = [columns * window + margin, rows * window + margin];
    const tokens = (length: number) => Math.ceil(Math.floor(length / patch) / 2);
    return { size, tokens: view * (view + 1) + 2 + tokens(size[1]) * (tokens(size[0]) + 1) + 2 };
  };
}

/** SmolVLM: scale the longer side to `longest`, stretch to whole tiles; a small view of the whole. */
function enlargedTiles(p: Readonly<{ longest: number; tile: number; tokens_per_tile: number }>): Rule {
  return (width, height): Seen => {
    const size = stretched(width, height, p.longest, p.tile);
    const count = Math.floor((size[0] * size[1]) / p.tile ** 2);
    return { size, tokens: p.tokens_per_tile * (count + (count > 1 ? 1 : 0)) };
  };
}

function stretched(width: number, height: number, longest: number, tile: number): Size {
  const whole = (length: number) => Math.ceil(length / tile) * tile;
  const even = (length: number) => length + (length % 2);
  let proportion = width / height;
  if (width >= height) [width, height] = [longest, even(Math.trunc(longest / proportion))];
  else [width, height] = [even(Math.trunc(longest * proportion)), longest];
  [width, height] = [Math.max(1, width), Math.max(1, height)];
  proportion = width / height;
  if (width >= height) {
    width = whole(width);
    height = whole(Math.trunc(width / proportion));
  } else {
    height = whole(height);
    width = whole(Math.trunc(height * proportion));
  }
  return [Math.max(tile, width), Math.max(tile, height)];
}

export const TILINGS = {
  canvases,
  "stretched-tiles": stretchedTiles,
  "padded-tiles": paddedTiles,
  slices,
  crops,
  "overlapping-crops": overlappingCrops,
  "enlarged-tiles": enlargedTiles,
};
