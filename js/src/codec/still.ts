/** The learned codec for still images. Large images pass through the graphs in tiles. */

import { DamagedError, FormatError } from "../errors.js";
import { crc32 } from "../format/checks.js";
import { HEADER_BYTES, headerFields, writeFile, type CotamFile, type Header } from "../format/header.js";
import { LEVEL_LIMIT } from "../format/levels.js";
import { SymbolReader, SymbolWriter } from "../format/symbols.js";
import type { Allocator } from "./allocation.js";
import { asPlane, compareChecksums, core, outer, PayloadCoder } from "./payload.js";
import {
  crop,
  Grid,
  largestTile,
  paste,
  plane,
  SCALES_HALO,
  Span,
  spans,
  tiles,
  wholeCells,
  type Plane,
  type Symbols,
  type Tile,
} from "./planes.js";
import { largestWithin, levelCosts } from "./rate.js";
import type { Runner, Tensor } from "./runtime.js";
import type { Constants } from "./weights.js";

/** For vision encoders or for people. */
export type View = "mllm" | "human";
/** In the order of the weight set's `views`. */
const VIEWS: readonly View[] = ["human", "mllm"];

/** Pixels, red, green, blue, as a plane of one channel and 3 · width columns. */
export type Pixels = Plane<Uint8Array>;

/** Cells around a tile that these graphs see: their receptive fields, rounded up. */
const HYPER_HALO = 2;
const CONTEXT_HALO = 2;
const SYNTHESIS_HALO = 1;
/** The same of the analysis, in latents. */
const ANALYSIS_HALO = 3;

export class Codec extends PayloadCoder {
  constructor(
    constants: Constants,
    run: Runner,
    private readonly digest: Uint8Array,
    private readonly shortHash: string,
  ) {
    super(constants, run);
  }

  // Encoding

  /** @param allocator chooses the gain offset map; without one all offsets are zero */
  async encode(pixels: Pixels, quality: number, allocator: Allocator | null = null): Promise<Uint8Array> {
    const grid = gridOf(pixels);
    const latents = await this.analyse(pixels, grid);
    return this.encodeLatents(latents, await this.analyseLatents(latents, grid), quality, allocator, grid);
  }

  /** @throws TargetSizeError if the file of quality 0 has more than `target` bytes */
  async encodeWithin(pixels: Pixels, target: number, allocator: Allocator | null = null): Promise<Uint8Array> {
    const grid = gridOf(pixels);
    const latents = await this.analyse(pixels, grid);
    const hyper = await this.analyseLatents(latents, grid);
    const fixed = Math.floor(HEADER_BYTES / 3);
    return largestWithin(
      (quality) => this.encodeLatents(latents, hyper, quality, allocator, grid),
      async (quality) => fixed + (await this.estimateBits(hyper, quality, grid)) / 8,
      target,
    );
  }

  private async analyse(pixels: Pixels, grid: Grid): Promise<Plane<Float32Array>> {
    const channels = this.constants.gains.width;
    const { height, width } = grid.latents;
    const latents = plane(new Float32Array(channels * height * width), channels, grid.latents);
    for (const [row, column] of tiles(grid.latents, ANALYSIS_HALO, 16)) {
      const tile = cropPixels(pixels, [16 * row.outerStart, 16 * row.outerStop], column);
      const [found] = await this.run("analysis", {
        pixels: { data: tile.data, shape: [1, tile.height, tile.width / 3, 3] },
      });
      pasteCore(asPlane(found as Tensor<Float32Array>), [row, column], 1, latents);
    }
    return latents;
  }

  private async analyseLatents(latents: Plane<Float32Array>, grid: Grid): Promise<Plane<Float32Array>> {
    const channels = this.constants.zIndex.width;
    const { height, width } = grid.cells;
    const hyper = plane(new Float32Array(channels * height * width), channels, grid.cells);
    for (const [row, column] of tiles(grid.cells, HYPER_HALO)) {
      const rows = [4 * row.outerStart, 4 * row.outerStop] as const;
      const near = crop(latents, rows, [4 * column.outerStart, 4 * column.outerStop]);
      const [found] = await this.run("hyper_analysis", { latents: tensor(near) });
      pasteCore(asPlane(found as Tensor<Float32Array>), [row, column], 1, hyper);
    }
    return hyper;
  }

  private async encodeLatents(
    latents: Plane<Float32Array>,
    hyper: Plane<Float32Array>,
    quality: number,
    allocator: Allocator | null,
    grid: Grid,
  ): Promise<Uint8Array> {
    const { channels, data } = latents;
    const y = plane(new Int16Array(data.length), channels, grid.latents);
    let symbols: Symbols = { quality, levels: null, z: this.hyper.round(hyper, quality), y, skipped: null };
    if (allocator) {
      const unguided = symbols;
      const levels = await allocator(() => this.levelCosts(unguided, grid));
      symbols = { ...symbols, levels: levels.data.some((level) => level !== 0) ? levels : null };
    }
    const index = plane(new Uint8Array(data.length), channels, grid.latents);
    for (const [row, column] of tiles(grid.cells, SCALES_HALO)) {
      const part = await this.tableIndex(symbols, row, column, grid);
      paste(part, [0, 0], index, ...core(row, column, index));
    }
    for (const [row, column] of tiles(grid.cells, CONTEXT_HALO)) {
      const [found] = await this.run("context", {
        ...this.contextInputs(symbols, row, column),
        index: tensor(wholeCells(crop(index, ...outer(row, column, index)))),
        values: tensor(wholeCells(crop(latents, ...outer(row, column, latents)))),
        given: { data: new Float32Array(1), shape: [1] },
      });
      pasteCore(asPlane(found as Tensor<Int16Array>), [row, column], 4, y);
    }
    return this.write(symbols, index, grid);
  }

  /** Neither latents nor offsets of `symbols` are used. */
  private async levelCosts(symbols: Symbols, grid: Grid): Promise<Plane<Float32Array>> {
    const { height, width } = grid.levels;
    const highest = plane(new Int8Array(height * width).fill(LEVEL_LIMIT), 1, grid.levels);
    const offsets = 2 * LEVEL_LIMIT + 1;
    const costs = plane(new Float32Array(offsets * height * width), offsets, grid.levels);
    for (const [row, column] of tiles(grid.cells, SCALES_HALO)) {
      const tile = levelCosts(this.constants.tables, await this.tableIndex({ ...symbols, levels: highest }, row, column, grid));
      paste(tile, [0, 0], costs, [2 * row.start, 2 * row.stop], [2 * column.start, 2 * column.stop]);
    }
    return costs;
  }

  /** Estimate the size of a payload from its hyper latents. */
  private async estimateBits(hyper: Plane<Float32Array>, quality: number, grid: Grid): Promise<number> {
    const { tables } = this.constants;
    const y = plane(new Int16Array(0), 0, grid.latents);
    const symbols: Symbols = { quality, levels: null, z: this.hyper.round(hyper, quality), y, skipped: null };
    let bits = await this.hyper.bits(symbols.z, quality);
    for (const [row, column] of tiles(grid.cells, SCALES_HALO)) {
      const { data } = await this.tableIndex(symbols, row, column, grid);
      for (const table of data) bits += tables.entropies[table];
    }
    return bits;
  }

  private async write(symbols: Symbols, index: Plane<Uint8Array>, grid: Grid): Promise<Uint8Array> {
    const header: Header = {
      kind: "learned",
      width: grid.width,
      height: grid.height,
      quality: symbols.quality,
      weights: this.shortHash,
      hasLevels: symbols.levels !== null,
    };
    const writer = new SymbolWriter(this.constants.tables);
    const check = await this.putSymbols(writer, symbols, index, grid, this.startCheck(headerFields(header)));
    return writeFile(header, writer.finish(), check);
  }

  /** The CRC-32 before the symbols of a file or frame, continued from `before`. */
  startCheck(fields: Uint8Array, before = 0): number {
    return crc32(fields, crc32(this.digest, before));
  }

  // Decoding

  /** Decode a learned still. @throws FormatError, DamagedError if it cannot be */
  async decode(file: CotamFile, view: View): Promise<Pixels> {
    const [symbols, grid] = await this.decodeSymbols(file);
    const pixels = emptyPixels(grid);
    const largest = largestTile(grid.cells);
    let values: Plane<Float32Array> = plane(new Float32Array(0), this.constants.gains.width, { height: 0, width: grid.latents.width });
    let known = new Span(0, 0, 0, 0);
    for (const row of spans(grid.cells.height, SYNTHESIS_HALO, largest)) {
      values = await this.nextLatents(symbols, values, known, row, grid);
      known = row;
      for (const column of spans(grid.cells.width, SYNTHESIS_HALO, largest)) {
        const columns = outer(row, column, grid.latents)[1];
        const near = crop(values, [0, values.height], columns);
        await this.synthesiseTile(near, symbols, [row, column], view, pixels);
      }
    }
    return pixels;
  }

  /** Decode a learned still to its symbols, checked. @throws FormatError, DamagedError if it cannot be */
  async decodeSymbols(file: CotamFile): Promise<[Symbols, Grid]> {
    const { header } = file;
    if (header.kind !== "learned") throw new FormatError(`a file of kind ${header.kind} has no learned payload`);
    if (header.weights !== this.shortHash) {
      throw new DamagedError(`the file was made with weights ${header.weights}, these are ${this.shortHash}`);
    }
    const grid = new Grid(header.height, header.width);
    const reader = new SymbolReader(this.constants.tables, file.payload);
    const start = this.startCheck(headerFields(header));
    const [symbols, check] = await this.getSymbols(reader, header.quality, header.hasLevels, grid, start);
    compareChecksums(header.checksum, check);
    return [symbols, grid];
  }

  /** All latents of an image. */
  async dequantise(symbols: Symbols, grid: Grid): Promise<Plane<Float32Array>> {
    const { channels } = symbols.y;
    const values = plane(new Float32Array(symbols.y.data.length), channels, grid.latents);
    for (const [row, column] of tiles(grid.cells, CONTEXT_HALO)) {
      pasteCore(await this.dequantiseTile(symbols, row, column), [row, column], 4, values);
    }
    return values;
  }

  /** Pixels from all latents; of `symbols` only quality and levels are used. */
  async synthesise(values: Plane<Float32Array>, symbols: Symbols, grid: Grid, view: View): Promise<Pixels> {
    const pixels = emptyPixels(grid);
    for (const [row, column] of tiles(grid.cells, SYNTHESIS_HALO)) {
      const near = crop(values, ...outer(row, column, values));
      await this.synthesiseTile(near, symbols, [row, column], view, pixels);
    }
    return pixels;
  }

  /**
   * Latents of the outer part of a row of tiles, of all columns.
   *
   * @param before those of the row `known` above it: what both share is not computed again
   */
  private async nextLatents(
    symbols: Symbols,
    before: Plane<Float32Array>,
    known: Span,
    row: Span,
    grid: Grid,
  ): Promise<Plane<Float32Array>> {
    const { width } = grid.latents;
    const shared = crop(before, [4 * (row.outerStart - known.outerStart), before.height], [0, width]);
    const height = Math.min(4 * row.outerStop, grid.latents.height) - 4 * row.outerStart;
    const size = { height, width };
    const values = plane(new Float32Array(before.channels * height * width), before.channels, size);
    paste(shared, [0, 0], values, [0, shared.height], [0, width]);
    const fresh = Span.of(known.outerStop, row.outerStop, CONTEXT_HALO, grid.cells.height);
    for (const column of spans(grid.cells.width, CONTEXT_HALO, largestTile(grid.cells))) {
      const tile = await this.dequantiseTile(symbols, fresh, column);
      const from = [4 * (fresh.start - fresh.outerStart), 4 * (column.start - column.outerStart)] as const;
      paste(tile, from, values, [shared.height, height], core(fresh, column, grid.latents)[1]);
    }
    return values;
  }

  /** Latents of the outer part of a tile, in whole cells. */
  private async dequantiseTile(symbols: Symbols, row: Span, column: Span): Promise<Plane<Float32Array>> {
    const y = wholeCells(crop(symbols.y, ...outer(row, column, symbols.y)));
    const [, values] = await this.run("context", {
      ...this.contextInputs(symbols, row, column),
      index: tensor(plane(new Uint8Array(y.data.length), y.channels, y)),
      values: tensor(plane(Float32Array.from(y.data), y.channels, y)),
      given: { data: Float32Array.of(1), shape: [1] },
    });
    return asPlane(values as Tensor<Float32Array>);
  }

  /** Put the core pixels of a tile into `pixels`, from the latents of its outer part. */
  private async synthesiseTile(
    latents: Plane<Float32Array>,
    symbols: Symbols,
    [row, column]: Tile,
    view: View,
    pixels: Pixels,
  ): Promise<void> {
    const [found] = await this.run("synthesis", {
      latents: tensor(latents),
      levels: this.paddedLevels(symbols, row, column),
      nominal: this.nominal(symbols.quality),
      adapted: { data: this.constants.views.slice(VIEWS.indexOf(view), VIEWS.indexOf(view) + 1), shape: [1] },
    });
    const [, height, width] = found.shape;
    const tile = plane(found.data as Uint8Array, 1, { height, width: 3 * width });
    const from = [64 * (row.start - row.outerStart), 192 * (column.start - column.outerStart)] as const;
    paste(tile, from, pixels, [64 * row.start, 64 * row.stop], [192 * column.start, 192 * column.stop]);
  }

  private contextInputs(symbols: Symbols, row: Span, column: Span): Record<string, Tensor> {
    return {
      z: this.dequantisedZ(symbols, row, column),
      levels: this.paddedLevels(symbols, row, column),
      nominal: this.nominal(symbols.quality),
      gain: this.perChannel(this.constants.gains.row(symbols.quality)),
    };
  }

  private nominal(quality: number): Tensor<Float32Array> {
    return { data: this.constants.nominal.row(quality).slice(), shape: [1, 1, 1, 1] };
  }
}

function gridOf(pixels: Pixels): Grid {
  return new Grid(pixels.height, pixels.width / 3);
}

function emptyPixels({ height, width }: Grid): Pixels {
  return plane(new Uint8Array(3 * height * width), 1, { height, width: 3 * width });
}

function tensor<T extends Float32Array | Int16Array | Uint8Array>(values: Plane<T>): Tensor<T> {
  return { data: values.data, shape: [1, values.channels, values.height, values.width] };
}

/** The outer pixels of a column of tiles, in units of 16; the last column of pixels is repeated beyond the end. */
function cropPixels(pixels: Pixels, rows: readonly [number, number], column: Span): Pixels {
  const [left, right] = [48 * column.outerStart, 48 * column.outerStop];
  if (right <= pixels.width) return crop(pixels, rows, [left, right]);
  const inside = crop(pixels, rows, [left, pixels.width]);
  const out = plane(new Uint8Array(inside.height * (right - left)), 1, { ...inside, width: right - left });
  paste(inside, [0, 0], out, [0, out.height], [0, inside.width]);
  for (let row = 0; row < out.height; row++) {
    const line = out.data.subarray(row * out.width, (row + 1) * out.width);
    for (let at = inside.width; at < line.length; at++) line[at] = line[at - 3];
  }
  return out;
}

/** Copy the core of a tile's output, which has `scale` values a cell, into a whole plane. */
function pasteCore<T extends Float32Array | Int16Array>(
  tile: Plane<T>,
  [row, column]: Tile,
  scale: number,
  target: Plane<T>,
): void {
  const from = [scale * (row.start - row.outerStart), scale * (column.start - column.outerStart)] as const;
  paste(tile, from, target, [scale * row.start, scale * row.stop], [scale * column.start, scale * column.stop]);
}
