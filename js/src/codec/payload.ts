/** The symbols of an image, read and written: the part of the codec that is the same on every machine. */

import { DamagedError } from "../errors.js";
import { crc32 } from "../format/checks.js";
import { readLevels, writeLevels } from "../format/levels.js";
import type { SymbolReader, SymbolWriter } from "../format/symbols.js";
import { HyperCoder } from "./hyper.js";
import {
  crop,
  largestTile,
  paste,
  plane,
  SCALES_HALO,
  type Grid,
  type Plane,
  type Span,
  type Symbols,
} from "./planes.js";
import type { Runner, Tensor } from "./runtime.js";
import type { Constants } from "./weights.js";

const CHECK_SIZE = 2 ** 16;

/** Codes symbols with one weight set. */
export class PayloadCoder {
  readonly hyper: HyperCoder;

  constructor(
    protected readonly constants: Constants,
    protected readonly run: Runner,
  ) {
    this.hyper = new HyperCoder(constants, run);
  }

  /** Write symbols, given the table of each latent; returns the CRC-32 continued over them. */
  async putSymbols(
    writer: SymbolWriter,
    symbols: Symbols,
    index: Plane<Uint8Array>,
    grid: Grid,
    start: number,
  ): Promise<number> {
    const bands = grid.bands();
    await this.hyper.put(writer, symbols.z, symbols.quality);
    let check = crc32(symbols.z.data, start);
    if (bands.length > 1) writer.putUniform(check % CHECK_SIZE, CHECK_SIZE);
    if (symbols.levels) {
      const { data, height, width } = symbols.levels;
      writeLevels(writer, data, height, width);
      check = crc32(data, check);
    }
    bands.forEach(([row, column], number) => {
      const y = crop(symbols.y, ...core(row, column, symbols.y));
      writer.put(y.data, crop(index, ...core(row, column, index)).data);
      check = crc32(y.data, check);
      if (number < bands.length - 1) writer.putUniform(check % CHECK_SIZE, CHECK_SIZE);
    });
    return check;
  }

  /**
   * Read symbols.
   *
   * @param start the CRC-32 so far
   * @param skipped as in `Symbols`
   * @returns the symbols and the CRC-32 continued over them, which the caller compares
   * @throws DamagedError if a checkpoint does not match
   */
  async getSymbols(
    reader: SymbolReader,
    quality: number,
    hasLevels: boolean,
    grid: Grid,
    start: number,
    skipped: Uint8Array | null = null,
  ): Promise<[Symbols, number]> {
    const z = await this.hyper.get(reader, quality, grid.cells, skipped);
    let check = crc32(z.data, start);
    const bands = grid.bands();
    if (bands.length > 1) compareChecksums(reader.getUniform(CHECK_SIZE), check % CHECK_SIZE);
    let levels: Plane<Int8Array> | null = null;
    if (hasLevels) {
      levels = plane(readLevels(reader, grid.levels.height, grid.levels.width), 1, grid.levels);
      check = crc32(levels.data, check);
    }
    // Memory for the latents is taken only now: a small file may claim a giant image.
    const channels = this.constants.gains.width;
    const y = plane(new Int16Array(channels * grid.latents.height * grid.latents.width), channels, grid.latents);
    const symbols = { quality, levels, z, y, skipped };
    for (const [number, [row, column]] of bands.entries()) {
      const index = await this.bandIndex(symbols, row, column, grid);
      const part = reader.get(index.data);
      paste(plane(part, channels, index), [0, 0], y, ...core(row, column, y));
      check = crc32(part, check);
      if (number < bands.length - 1) compareChecksums(reader.getUniform(CHECK_SIZE), check % CHECK_SIZE);
    }
    return [symbols, check];
  }

  private async bandIndex(symbols: Symbols, row: Span, column: Span, grid: Grid): Promise<Plane<Uint8Array>> {
    const pieces = column.cut(largestTile(grid.cells), SCALES_HALO, grid.cells.width); // to save memory
    if (pieces.length === 1) return this.tableIndex(symbols, row, column, grid);
    const [rows, columns] = core(row, column, grid.latents);
    const size = { height: rows[1] - rows[0], width: columns[1] - columns[0] };
    const channels = this.constants.gains.width;
    const index = plane(new Uint8Array(channels * size.height * size.width), channels, size);
    for (const piece of pieces) {
      const at = 4 * (piece.start - column.start);
      const part = await this.tableIndex(symbols, row, piece, grid);
      paste(part, [0, 0], index, [0, size.height], [at, at + part.width]);
    }
    return index;
  }

  /** The table of each latent, (M, rows, columns), of the core of a band or tile. */
  async tableIndex(symbols: Symbols, row: Span, column: Span, grid: Grid): Promise<Plane<Uint8Array>> {
    const { quality, skipped } = symbols;
    const [index] = await this.run("scales", {
      z: this.dequantisedZ(symbols, row, column),
      levels: this.paddedLevels(symbols, row, column),
      sums64: this.perChannel(this.constants.sums64.row(quality)),
      sums32: this.perChannel(this.constants.sums32.row(quality)),
      offset: this.perChannel(this.constants.offset.row(quality)),
    });
    const outer = asPlane(index as Tensor<Uint8Array>);
    const [rows, columns] = core(row, column, grid.latents);
    const top = 4 * (row.start - row.outerStart);
    const left = 4 * (column.start - column.outerStart);
    const inner = crop(outer, [top, top + rows[1] - rows[0]], [left, left + columns[1] - columns[0]]);
    if (skipped) {
      inner.data.forEach((_, i) => {
        const x = columns[0] + (i % inner.width);
        const y = rows[0] + (Math.floor(i / inner.width) % inner.height);
        if (skipped[(y >> 2) * grid.cells.width + (x >> 2)]) inner.data[i] = 0;
      });
    }
    return inner;
  }

  protected perChannel(values: Float32Array): Tensor<Float32Array> {
    return { data: values.slice(), shape: [1, values.length, 1, 1] };
  }

  /** Dequantised hyper latents of a tile's outer part. */
  protected dequantisedZ(symbols: Symbols, row: Span, column: Span): Tensor<Float32Array> {
    const z = crop(symbols.z, [row.outerStart, row.outerStop], [column.outerStart, column.outerStop]);
    return { data: this.hyper.dequantise(z, symbols.quality), shape: [1, z.channels, z.height, z.width] };
  }

  /** Levels of the outer part, two for each cell. */
  protected paddedLevels(symbols: Symbols, row: Span, column: Span): Tensor<Float32Array> {
    const shape = [1, 1, 2 * (row.outerStop - row.outerStart), 2 * (column.outerStop - column.outerStart)];
    if (!symbols.levels) return { data: new Float32Array(shape[2] * shape[3]), shape };
    const rows = [2 * row.outerStart, 2 * row.outerStop] as const;
    const columns = [2 * column.outerStart, 2 * column.outerStop] as const;
    return { data: Float32Array.from(crop(symbols.levels, rows, columns).data), shape };
  }
}

/** The rows and columns of latents of the core of a tile, cut to the plane. */
export function core(
  row: Span,
  column: Span,
  size: { readonly height: number; readonly width: number },
): [[number, number], [number, number]] {
  return [
    [4 * row.start, Math.min(4 * row.stop, size.height)],
    [4 * column.start, Math.min(4 * column.stop, size.width)],
  ];
}

/** The same of the outer part. */
export function outer(
  row: Span,
  column: Span,
  size: { readonly height: number; readonly width: number },
): [[number, number], [number, number]] {
  return [
    [4 * row.outerStart, Math.min(4 * row.outerStop, size.height)],
    [4 * column.outerStart, Math.min(4 * column.outerStop, size.width)],
  ];
}

/** An output of shape (1, channels, height, width) as a plane. */
export function asPlane<T extends Float32Array | Int16Array | Uint8Array>({ data, shape }: Tensor<T>): Plane<T> {
  return { data, channels: shape[1], height: shape[2], width: shape[3] };
}

/** @throws DamagedError if two checksums of symbols differ */
export function compareChecksums(stored: number, computed: number): void {
  if (stored !== computed) {
    throw new DamagedError("the file is damaged: the checksum of its symbols does not match");
  }
}
