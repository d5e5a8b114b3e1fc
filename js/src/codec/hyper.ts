/**
 * Hyper latents: the mean and table of each follow from those coded before it, in integers.
 *
 * They are coded in four steps, each a quarter of the channels of every cell.
 */

import { DamagedError } from "../errors.js";
import type { SymbolReader, SymbolWriter } from "../format/symbols.js";
import { plane, roundEven, type Plane, type Size } from "./planes.js";
import type { Runner } from "./runtime.js";
import type { Constants } from "./weights.js";

const STEPS = 4;
/** Turn of each place within a 2×2 square, by row and column. */
const TURNS = [0, 2, 3, 1];
/** Dequantised hyper latents are integers within ± this. */
const LIMIT = 255;
/** Symbols are within ± this. */
const SYMBOLS = 127;

/** What one step codes: positions in (Z, h, w), with the mean and the table of each. */
interface Step {
  readonly places: Uint32Array;
  readonly means: Int16Array;
  readonly index: Uint8Array;
}

type Hyper = Plane<Int16Array>;

/** Codes the hyper latents of one weight set. */
export class HyperCoder {
  constructor(
    private readonly constants: Constants,
    private readonly run: Runner,
  ) {}

  /** Round hyper latents, float32, to symbols. */
  round(hyper: Plane<Float32Array>, quality: number): Hyper {
    const area = hyper.height * hyper.width;
    const steps = this.constants.zMultipliers.row(quality).map((multiplier) => multiplier / 4096);
    const symbols = Int16Array.from(hyper.data, (value, i) => {
      const scaled = Math.fround(value / steps[Math.floor(i / area)]);
      return roundEven(Math.min(Math.max(scaled, -SYMBOLS), SYMBOLS));
    });
    return plane(symbols, hyper.channels, hyper);
  }

  /** Write hyper latents. */
  async put(writer: SymbolWriter, z: Hyper, quality: number): Promise<void> {
    for await (const { places, means, index } of this.steps(z, quality, null)) {
      writer.put(Int16Array.from(places, (place, i) => z.data[place] - means[i]), index);
    }
  }

  /** Bits that `put` writes, about. */
  async bits(z: Hyper, quality: number): Promise<number> {
    let bits = 0;
    for await (const { places, means, index } of this.steps(z, quality, null)) {
      bits += this.constants.tables.bits(Int16Array.from(places, (place, i) => z.data[place] - means[i]), index);
    }
    return bits;
  }

  /** Read the hyper latents that `put` wrote; `skipped` is as in `Symbols`. */
  async get(reader: SymbolReader, quality: number, cells: Size, skipped: Uint8Array | null): Promise<Hyper> {
    const channels = this.constants.zIndex.width;
    const z = plane(new Int16Array(channels * cells.height * cells.width), channels, cells);
    for await (const { places, means, index } of this.steps(z, quality, skipped)) {
      const symbols = reader.get(index);
      places.forEach((place, i) => {
        const symbol = symbols[i] + means[i];
        if (Math.abs(symbol) > SYMBOLS) throw new DamagedError("the payload is damaged: a hyper latent is out of range");
        z.data[place] = symbol;
      });
    }
    return z;
  }

  /** round(symbol · multiplier / 256): integers in ±255 as float32, exact. */
  dequantise(z: Hyper, quality: number): Float32Array {
    const area = z.height * z.width;
    const multipliers = this.constants.zMultipliers.row(quality);
    return Float32Array.from(z.data, (symbol, i) => {
      const scaled = roundEven(Math.fround(symbol * multipliers[Math.floor(i / area)]) / 256);
      return Math.min(Math.max(scaled, -LIMIT), LIMIT);
    });
  }

  /** `z` is read after each step, so that a decoder may fill it in between. */
  private async *steps(z: Hyper, quality: number, skipped: Uint8Array | null): AsyncGenerator<Step> {
    const { zIndex } = this.constants;
    const area = z.height * z.width;
    const plain = zIndex.row(quality);
    const known = new Float32Array(z.data.length);
    for (let step = 0; step < STEPS; step++) {
      const places = placesOf(z, step);
      const [mean, change] = await this.predict(z, known, quality, step);
      const multipliers = this.constants.zMultipliers.row(quality);
      const last = this.constants.tables.count - 1;
      const means = new Int16Array(places.length);
      const index = new Uint8Array(places.length);
      places.forEach((place, i) => {
        if (skipped?.[place % area]) return;
        const channel = Math.floor(place / area);
        // A quotient of integers that float32 holds is rounded once, by IEEE 754: the same everywhere.
        means[i] = roundEven(Math.fround((mean[place] * 256) / multipliers[channel]));
        index[i] = Math.min(Math.max(plain[channel] + change[place], 1), last);
      });
      yield { places, means, index };
      const values = this.dequantise(z, quality);
      places.forEach((place) => (known[place] = values[place]));
    }
  }

  /** Mean and change of all hyper latents. */
  private async predict(z: Hyper, known: Float32Array, quality: number, step: number): Promise<Float32Array[]> {
    const { hyperQuality, hyperPlace } = this.constants;
    const { channels, height, width } = z;
    const turns = Array.from(TURNS, (turn) => hyperPlace.row(STEPS * step + turn));
    const base = hyperQuality.row(quality);
    const sums = new Float32Array(base.length * height * width);
    for (let channel = 0, at = 0; channel < base.length; channel++) {
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++, at++) {
          sums[at] = base[channel] + turns[2 * (row & 1) + (column & 1)][channel];
        }
      }
    }
    const outputs = await this.run("hyper_context", {
      known: { data: known.slice(), shape: [1, channels, height, width] },
      sums: { data: sums, shape: [1, base.length, height, width] },
    });
    return outputs.map(({ data }) => data as Float32Array);
  }
}

/** Positions in rising order that a step codes: group (step − turn) mod 4 of a place with this turn. */
function placesOf({ channels, height, width }: Hyper, step: number): Uint32Array {
  const found: number[] = [];
  for (let channel = 0, at = 0; channel < channels; channel++) {
    const group = Math.floor((STEPS * channel) / channels);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at++) {
        if ((group + TURNS[2 * (row & 1) + (column & 1)]) % STEPS === step) found.push(at);
      }
    }
  }
  return Uint32Array.from(found);
}
