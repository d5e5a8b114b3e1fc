/** Decode the frames of a sequence: each cell of 64×64 pixels is coded, or copied from an earlier frame. */

import { crc32 } from "../format/checks.js";
import { CODED, readModes } from "../format/modes.js";
import type { CodedFrame } from "../format/sequence.js";
import { SymbolReader } from "../format/symbols.js";
import { compareChecksums } from "./payload.js";
import { Grid, plane, type Plane, type Symbols } from "./planes.js";
import type { Codec, Pixels, View } from "./still.js";
import type { Constants } from "./weights.js";

/** What later frames copy from. */
interface Decoded {
  readonly values: Plane<Float32Array>;
  readonly levels: Plane<Int8Array>;
}

const INTRA = 2;
const KEY = 3;

/** Decodes frames in order. */
export class FrameDecoder {
  private readonly grid: Grid;
  /** Of the modes 1, 2, 3: the frame before, the last intra frame, the last key frame. */
  private sources: readonly Decoded[] = [];
  private check = 0;

  constructor(
    private readonly codec: Codec,
    private readonly constants: Constants,
    height: number,
    width: number,
    private readonly quality: number,
  ) {
    this.grid = new Grid(height, width);
  }

  /** @throws DamagedError if the frame, or the frame before it, is not the one that was written */
  async decode(frame: CodedFrame, view: View): Promise<Pixels> {
    const { grid, quality } = this;
    const [key, intra, hasLevels] = [1, 2, 4].map((flag) => (frame.flags & flag) > 0);
    const fields = Uint8Array.from([...frame.fields, frame.flags]);
    let check = this.codec.startCheck(fields, key ? 0 : this.check);
    const reader = new SymbolReader(this.constants.tables, frame.payload);
    let modes = new Uint8Array(grid.cells.height * grid.cells.width);
    let skipped: Uint8Array | null = null;
    if (!intra) {
      modes = readModes(reader, grid.cells.height, grid.cells.width) as typeof modes;
      check = crc32(modes, check);
      skipped = modes.map((mode) => (mode === CODED ? 0 : 1));
    }
    let symbols: Symbols;
    [symbols, check] = await this.codec.getSymbols(reader, quality, hasLevels, grid, check, skipped);
    compareChecksums(frame.checksum, check);
    this.check = check;
    const decoded = this.finish(await this.codec.dequantise(symbols, grid), symbols, modes, key);
    const levels = decoded.levels.data.some((level) => level !== 0) ? decoded.levels : null;
    return this.codec.synthesise(decoded.values, { ...symbols, levels }, grid, view);
  }

  /** Put copied cells into `values`, which has the coded ones; keep the result for later frames. */
  private finish(values: Plane<Float32Array>, symbols: Symbols, modes: Uint8Array, key: boolean): Decoded {
    const { levels: size } = this.grid;
    const levels = symbols.levels ?? plane(new Int8Array(size.height * size.width), 1, size);
    this.sources.forEach((source, i) => {
      this.copy(source.values, values, modes, i + 1, 4);
      this.copy(source.levels, levels, modes, i + 1, 2);
    });
    const frame = { values, levels };
    const intra = modes.some((mode) => mode !== CODED) ? this.sources[INTRA - 1] : frame;
    this.sources = [frame, intra, key ? frame : this.sources[KEY - 1]];
    return frame;
  }

  /** Copy the cells of a mode, which have `scale` × `scale` values. */
  private copy(
    from: Plane<Float32Array> | Plane<Int8Array>,
    to: Plane<Float32Array> | Plane<Int8Array>,
    modes: Uint8Array,
    mode: number,
    scale: number,
  ): void {
    const { channels, height, width } = to;
    for (let channel = 0, at = 0; channel < channels; channel++) {
      for (let row = 0; row < height; row++) {
        const line = Math.floor(row / scale) * this.grid.cells.width;
        for (let column = 0; column < width; column++, at++) {
          if (modes[line + Math.floor(column / scale)] === mode) to.data[at] = from.data[at];
        }
      }
    }
  }
}
