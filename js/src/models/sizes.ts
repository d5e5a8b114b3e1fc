/**
 * Kinds of rules that resize an image as a whole, as `cotam.image.sizes` in Python has them.
 *
 * A rule takes the width and height of an image in pixels and gives what the model sees of it.
 */

import { roundEven } from "../codec/planes.js";
import type { Rule, Seen, Size } from "./rule.js";

function seen(size: Size, tokens: number | null): Seen {
  return { size, tokens };
}

/** Cells that cover a size; parts of one at the edge count. */
function cellsOf(size: Size, cell: number): number {
  return Math.ceil(size[0] / cell) * Math.ceil(size[1] / cell);
}

/** Fit the longer, then the shorter side; the other one rounds down. Never enlarges. */
export function boxed(size: Size, longest?: number, shortest?: number): Size {
  const fit = ([width, height]: Size, limit: number, side: number): Size => [
    Math.max(1, Math.floor((width * limit) / side)),
    Math.max(1, Math.floor((height * limit) / side)),
  ];
  let found = size;
  if (longest && Math.max(...found) > longest) found = fit(found, longest, Math.max(...found));
  if (shortest && Math.min(...found) > shortest) found = fit(found, shortest, Math.min(...found));
  return found;
}

/** No resizing is known. */
const keep = (): Rule => (width, height) => seen([width, height], null);

/** Fit within a box: the longer side, the shorter side, or both. */
const box =
  ({ longest, shortest, tokens }: Readonly<{ longest?: number; shortest?: number; tokens?: number }>): Rule =>
  (width, height) =>
    seen(boxed([width, height], longest, shortest), tokens ?? null);

/** No resizing is known; a token for every so many pixels, which is an approximation. */
const area =
  ({ pixels_per_token }: Readonly<{ pixels_per_token: number }>): Rule =>
  (width, height) =>
    seen([width, height], Math.ceil((width * height) / pixels_per_token));

/** OpenAI's tiles: fit the box, then `base` tokens and `each` for every 512-pixel tile. */
function gptTiles(p: Readonly<{ base: number; each: number }>): Rule {
  return (width, height) => {
    const size = boxed([width, height], 2048, 768);
    return seen(size, p.base + p.each * cellsOf(size, 512));
  };
}

/** OpenAI's patches of 32 pixels: fit the longer side and the patch budget; `times` tokens a patch. */
function gptPatches(p: Readonly<{ longest: number; budget: number; times: number }>): Rule {
  const patch = 32;
  return (fullWidth, fullHeight) => {
    let size = boxed([fullWidth, fullHeight], p.longest);
    if (cellsOf(size, patch) > p.budget) {
      const [width, height] = size;
      let shrink = patch * Math.sqrt(p.budget / (width * height));
      const across = (width * shrink) / patch;
      const down = (height * shrink) / patch;
      shrink *= Math.min(Math.max(1, Math.floor(across)) / across, Math.max(1, Math.floor(down)) / down);
      size = [Math.max(1, Math.floor(width * shrink + 1e-6)), Math.max(1, Math.floor(height * shrink + 1e-6))];
    }
    return seen(size, Math.ceil(cellsOf(size, patch) * p.times - 1e-6));
  };
}

/** Anthropic's patches of 28 pixels: the largest size within the longer side and the patch budget. */
function claudePatches(p: Readonly<{ longest: number; budget: number }>): Rule {
  const patch = 28;
  return (width, height) => {
    const long = Math.max(width, height);
    const short = Math.min(width, height);
    const sized = (length: number): Size => [length, Math.max(1, roundEven((length * short) / long))];
    let low = 1;
    let high = Math.min(long, p.longest);
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2);
      if (cellsOf(sized(middle), patch) <= p.budget) low = middle;
      else high = middle - 1;
    }
    const size: Size = low < long ? sized(low) : [long, short];
    return seen(width >= height ? size : [size[1], size[0]], cellsOf(size, patch));
  };
}

/** Gemini up to 2.5: `each` tokens for a small image, or for every crop of 256 to 768 pixels. */
function geminiCrops(p: Readonly<{ longest: number; each: number }>): Rule {
  const small = 384;
  return (width, height) => {
    const size = boxed([width, height], p.longest);
    if (Math.max(...size) <= small) return seen(size, p.each);
    const crop = Math.min(768, Math.max(256, Math.floor(Math.min(...size) / 1.5)));
    return seen(size, p.each * cellsOf(size, crop));
  };
}

/** Fit the longer side, round up to patches; each row of patches ends with a token of its own. */
function patchRows(p: Readonly<{ longest: number; patch: number }>): Rule {
  return (width, height) => {
    const ratio = Math.max(1, Math.max(width, height) / p.longest);
    const shrunk = (side: number) => (ratio > 1 ? Math.floor(side / ratio) : side);
    const columns = Math.max(1, Math.ceil(shrunk(width) / p.patch));
    const rows = Math.max(1, Math.ceil(shrunk(height) / p.patch));
    return seen([columns * p.patch, rows * p.patch], (columns + 1) * rows);
  };
}

/** Kimi: shrink to a patch budget, then pad to 2 × 2 patches, which become a token. */
function nativePatches(p: Readonly<{ budget: number }>): Rule {
  const patch = 14;
  const longest = 512 * patch;
  return (width, height) => {
    const patches = Math.max(1, Math.floor(width / patch)) * Math.max(1, Math.floor(height / patch));
    const scale = Math.min(1, Math.sqrt(p.budget / patches), longest / height, longest / width);
    const side = (length: number) => Math.min(longest, Math.max(1, Math.trunc(length * scale)));
    const size: Size = [side(width), side(height)];
    return seen(size, cellsOf(size, 2 * patch));
  };
}

interface MultiplesParameters {
  factor: number;
  min_pixels: number;
  max_pixels: number;
  small?: string;
  row_breaks?: boolean;
}

/**
 * Qwen's `smart_resize`: sides are multiples of `factor`, the area lies in a range.
 *
 * `small` says what happens first to an image with a side below `factor`: nothing, "scale" (GLM) or "round"
 * (PaddleOCR). With `row_breaks` each row ends with a token, and the image with two more.
 */
function multiples(p: Readonly<MultiplesParameters>): Rule {
  return (width, height) => {
    const size = inRange(enlarged([width, height], p), p);
    const columns = size[0] / p.factor;
    const rows = size[1] / p.factor;
    return seen(size, p.row_breaks ? rows * (columns + 1) + 2 : rows * columns);
  };
}

function enlarged([width, height]: Size, { factor, small }: MultiplesParameters): Size {
  if (small === "scale" && Math.min(width, height) < factor) {
    const scale = Math.max(factor / height, factor / width);
    return [Math.trunc(width * scale), Math.trunc(height * scale)];
  }
  if (small === "round") {
    if (height < factor) [width, height] = [roundEven((width * factor) / height), factor];
    if (width < factor) [width, height] = [factor, roundEven((height * factor) / width)];
  }
  return [width, height];
}

function inRange([width, height]: Size, p: MultiplesParameters): Size {
  let across = roundEven(width / p.factor);
  let down = roundEven(height / p.factor);
  const pixels = across * down * p.factor ** 2;
  if (pixels > p.max_pixels) {
    const shrink = Math.sqrt((width * height) / p.max_pixels);
    across = Math.floor(width / shrink / p.factor);
    down = Math.floor(height / shrink / p.factor);
  } else if (pixels < p.min_pixels) {
    const grow = Math.sqrt(p.min_pixels / (width * height));
    across = Math.ceil((width * grow) / p.factor);
    down = Math.ceil((height * grow) / p.factor);
  }
  return [Math.max(1, across) * p.factor, Math.max(1, down) * p.factor];
}

/** Gemma 4: fill a budget of square cells, each a token; sides round down to whole cells. */
function grid({ cell, budget }: Readonly<{ cell: number; budget: number }>): Rule {
  return (width, height) => {
    const scale = Math.sqrt((budget * cell ** 2) / (width * height));
    let columns = Math.floor((scale * width) / cell);
    let rows = Math.floor((scale * height) / cell);
    if (!rows) [columns, rows] = [Math.min(Math.max(1, Math.floor(width / height)), budget), 1];
    else if (!columns) [columns, rows] = [1, Math.min(Math.max(1, Math.floor(height / width)), budget)];
    return seen([columns * cell, rows * cell], columns * rows);
  };
}

interface PaddedGridParameters {
  cell: number;
  least: number;
  budget: number;
}

/** GLM-5: whole cells within a budget; the image is padded to them, and shrunk or enlarged if need be. */
function paddedGrid(p: Readonly<PaddedGridParameters>): Rule {
  return (width, height) => {
    const [columns, rows] = paddedCells(width, height, p);
    let scale = Math.min((columns * p.cell) / width, (rows * p.cell) / height);
    if (width * height >= p.cell ** 2 * p.least) scale = Math.min(1, scale);
    const side = (length: number, cells: number) =>
      Math.min(cells * p.cell, Math.max(1, Math.floor(length * scale)));
    return seen([side(width, columns), side(height, rows)], columns * rows);
  };
}

function paddedCells(width: number, height: number, p: PaddedGridParameters): Size {
  let columns = Math.ceil(width / p.cell);
  let rows = Math.ceil(height / p.cell);
  if (columns * rows < p.least) {
    const grow = Math.sqrt((p.cell ** 2 * p.least) / (width * height));
    columns = Math.ceil(Math.ceil(width * grow) / p.cell);
    rows = Math.ceil(Math.ceil(height * grow) / p.cell);
  }
  if (columns * rows <= p.budget) return [columns, rows];
  let best: Size = [1, 1];
  let low = 1;
  let high = height;
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    columns = Math.ceil(Math.max(1, Math.floor((width * middle) / height)) / p.cell);
    rows = Math.ceil(middle / p.cell);
    if (columns * rows <= p.budget) {
      best = [columns, rows];
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  return best;
}

/** Stretch to one size, whatever the proportions. */
const squeeze = (p: Readonly<{ width: number; height: number; tokens: number }>): Rule => {
  return () => seen([p.width, p.height], p.tokens);
};

export const SIZES = {
  keep,
  box,
  area,
  "gpt-tiles": gptTiles,
  "gpt-patches": gptPatches,
  "claude-patches": claudePatches,
  "gemini-crops": geminiCrops,
  "patch-rows": patchRows,
  "native-patches": nativePatches,
  multiples,
  grid,
  "padded-grid": paddedGrid,
  squeeze,
};
