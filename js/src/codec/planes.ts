/** The planes between pixels and bytes: their sizes, parts of them, and symbols. */

/** Cells (64×64 pixels) of a band, the part of a payload between two checkpoints, at most. */
export const BAND_CELLS = 1024;
/** Cells around a band that the scale network sees. */
export const SCALES_HALO = 2;
/** Pixels of a side up to which an image is one tile; sides of the tiles of larger images, at most. */
const WHOLE = 768;
const TILE = 640;

/** Rows and columns. */
export interface Size {
  readonly height: number;
  readonly width: number;
}

/** Sizes of all planes of an image. */
export class Grid implements Size {
  readonly latents: Size;
  readonly levels: Size;
  readonly cells: Size;

  constructor(
    readonly height: number,
    readonly width: number,
  ) {
    const by = (side: number): Size => ({ height: Math.ceil(height / side), width: Math.ceil(width / side) });
    this.latents = by(16);
    this.levels = by(32);
    this.cells = by(64);
  }

  /** Rows and columns of cells of each band, in the order in which bands are coded. */
  bands(): Tile[] {
    const { height, width } = this.cells;
    const rows = Math.max(1, Math.floor(BAND_CELLS / width));
    const found: Tile[] = [];
    for (let start = 0; start < height; start += rows) {
      const row = Span.of(start, Math.min(start + rows, height), SCALES_HALO, height);
      for (const column of spans(width, SCALES_HALO, BAND_CELLS)) found.push([row, column]);
    }
    return found;
  }
}

/** A part of an axis in cells: a core start … stop in an outer part with a halo. */
export class Span {
  constructor(
    readonly start: number,
    readonly stop: number,
    readonly outerStart: number,
    readonly outerStop: number,
  ) {}

  static of(start: number, stop: number, halo: number, cells: number): Span {
    return new Span(start, stop, Math.max(0, start - halo), Math.min(cells, stop + halo));
  }

  /** Cut the core into parts of nearly equal length, at most `largest`. */
  cut(largest: number, halo: number, cells: number): Span[] {
    const length = this.stop - this.start;
    const count = Math.ceil(length / largest);
    const edge = (i: number): number => this.start + Math.floor((length * i) / count);
    return Array.from({ length: count }, (_, i) => Span.of(edge(i), edge(i + 1), halo, cells));
  }
}

export type Tile = [row: Span, column: Span];

/** Cut a whole axis, see `Span.cut`. */
export function spans(cells: number, halo: number, largest: number): Span[] {
  return new Span(0, cells, 0, cells).cut(largest, halo, cells);
}

/** Cells of `unit` pixels that the tiles of a grid have on a side, at most. */
export function largestTile({ height, width }: Size, unit = 64): number {
  return Math.floor((Math.max(height, width) * unit <= WHOLE ? WHOLE : TILE) / unit);
}

/** Rows and columns of each tile of a grid, row by row. */
export function tiles(cells: Size, halo: number, unit = 64): Tile[] {
  const largest = largestTile(cells, unit);
  const columns = spans(cells.width, halo, largest);
  return spans(cells.height, halo, largest).flatMap((row) => columns.map((column): Tile => [row, column]));
}

export type Values = Float32Array | Int16Array | Uint8Array | Uint8ClampedArray | Int8Array;

/** An array (channels, height, width). Pixels are one channel of 3 · width columns. */
export interface Plane<T extends Values> extends Size {
  readonly data: T;
  readonly channels: number;
}

export function plane<T extends Values>(data: T, channels: number, { height, width }: Size): Plane<T> {
  return { data, channels, height, width };
}

function like<T extends Values>(data: T, length: number): T {
  return new (data.constructor as new (length: number) => T)(length);
}

/** A part of a plane; beyond the end of an axis its last row and column are repeated. */
export function crop<T extends Values>(
  source: Plane<T>,
  rows: readonly [number, number],
  columns: readonly [number, number],
): Plane<T> {
  const height = rows[1] - rows[0];
  const width = columns[1] - columns[0];
  const { channels, data } = source;
  const out = like(data, channels * height * width);
  const inside = Math.min(columns[1], source.width) - columns[0];
  for (let channel = 0, to = 0; channel < channels; channel++) {
    for (let row = rows[0]; row < rows[1]; row++, to += width) {
      const from = (channel * source.height + Math.min(row, source.height - 1)) * source.width + columns[0];
      out.set(data.subarray(from, from + inside), to);
      if (inside < width) out.fill(data[from + inside - 1], to + inside, to + width);
    }
  }
  return { data: out, channels, height, width };
}

/** Append zeros until both sides are multiples of 4. */
export function wholeCells<T extends Values>(latents: Plane<T>): Plane<T> {
  const [height, width] = [latents.height, latents.width].map((side) => 4 * Math.ceil(side / 4));
  if (height === latents.height && width === latents.width) return latents;
  const out = plane(like(latents.data, latents.channels * height * width), latents.channels, { height, width });
  paste(latents, [0, 0], out, [0, latents.height], [0, latents.width]);
  return out;
}

/**
 * Copy a part of `source`, from `fromRow` and `fromColumn`, into rows and columns of `target`, all of one channel
 * count. What lies beyond the target's end is left out.
 */
export function paste<T extends Values>(
  source: Plane<T>,
  [fromRow, fromColumn]: readonly [number, number],
  target: Plane<T>,
  rows: readonly [number, number],
  columns: readonly [number, number],
): void {
  const width = Math.min(columns[1], target.width) - columns[0];
  for (let channel = 0; channel < target.channels; channel++) {
    for (let row = rows[0]; row < Math.min(rows[1], target.height); row++) {
      const line = channel * source.height + fromRow + row - rows[0];
      const from = line * source.width + fromColumn;
      const to = (channel * target.height + row) * target.width + columns[0];
      target.data.set(source.data.subarray(from, from + width), to);
    }
  }
}

/** The integers that a payload codes. */
export interface Symbols {
  readonly quality: number;
  /** Gain offset map; null if all are zero. */
  readonly levels: Plane<Int8Array> | null;
  /** Hyper latents. */
  readonly z: Plane<Int16Array>;
  /** Latents. */
  readonly y: Plane<Int16Array>;
  /** 1 for cells whose symbols are zero and are not coded; null if all are coded. */
  readonly skipped: Uint8Array | null;
}

/** Round to the nearest integer, ties to even. */
export function roundEven(value: number): number {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
}
