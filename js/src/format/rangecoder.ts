/**
 * The range coder of constriction (`queue`, words of 32 bits, state of 64, models of 24).
 *
 * 64-bit numbers are pairs of 32-bit halves: BigInt is many times slower. A model is its cumulated starts: symbol i
 * has the part starts[i] … starts[i + 1] of 2²⁴.
 */

import { DamagedError } from "../errors.js";

const WORD = 2 ** 32;
const WHOLE = 2 ** 24;

export type Starts = Uint32Array;

/**
 * Starts of symbols with integer weights that add up to 2^bits, each at least 1.
 *
 * The first symbol has start 0; the last entry is 2²⁴.
 */
export function startsOf(weights: ArrayLike<number>, bits: number): Starts {
  const starts = new Uint32Array(weights.length + 1);
  const free = WHOLE - weights.length;
  let before = 0;
  for (let i = 0; i < weights.length; i++) {
    starts[i] = Math.floor((before * free) / 2 ** bits) + i;
    before += weights[i];
  }
  starts[weights.length] = WHOLE;
  return starts;
}

/** Low and high half of step · factor, for a step below 2⁴⁰ and a factor up to 2²⁴. */
const product = new Float64Array(2);

function multiply(step: number, factor: number): void {
  const high = Math.floor(step / WHOLE);
  const low = step - high * WHOLE;
  const upper = high * factor; // counts 2²⁴
  const rest = (upper % 256) * WHOLE + low * factor;
  product[0] = rest % WORD;
  product[1] = Math.floor(upper / 256) + Math.floor(rest / WORD);
}

/** Encodes symbols to words. */
export class RangeEncoder {
  private words = new Uint32Array(1024);
  private count = 0;
  private lowLow = 0;
  private lowHigh = 0;
  private rangeLow = WORD - 1;
  private rangeHigh = WORD - 1;

  /** Encode the symbol that has the part `start` … `start` + `width` of 2²⁴. */
  encode(start: number, width: number): void {
    const step = this.rangeHigh * 256 + (this.rangeLow >>> 24);
    multiply(step, start);
    let low = this.lowLow + product[0];
    let high = this.lowHigh + product[1];
    if (low >= WORD) {
      low -= WORD;
      high += 1;
    }
    if (high >= WORD) {
      high -= WORD;
      this.carry();
    }
    multiply(step, width);
    if (product[1] === 0) {
      this.push(high);
      this.lowHigh = low;
      this.lowLow = 0;
      this.rangeHigh = product[0];
      this.rangeLow = 0;
    } else {
      this.lowHigh = high;
      this.lowLow = low;
      this.rangeHigh = product[1];
      this.rangeLow = product[0];
    }
  }

  /** Encode a value 0 … size − 1, all equally likely. */
  encodeUniform(value: number, size: number): void {
    const each = Math.floor(WHOLE / size);
    this.encode(value * each, value < size - 1 ? each : WHOLE - value * each);
  }

  /** The bytes: little-endian words, the fewest that identify the interval, without the zero bytes at the end. */
  finish(): Uint8Array {
    if (this.rangeHigh !== WORD - 1 || this.rangeLow !== WORD - 1) {
      let word = this.lowHigh;
      if (this.lowLow + WORD - 1 >= WORD) word += 1; // the interval's first point that ends in zeros
      if (word >= WORD) {
        word -= WORD;
        this.carry();
      }
      this.push(word);
    }
    const bytes = new Uint8Array(4 * this.count);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < this.count; i++) view.setUint32(4 * i, this.words[i], true);
    let length = bytes.length;
    while (length && bytes[length - 1] === 0) length--;
    return bytes.subarray(0, length);
  }

  private push(word: number): void {
    if (this.count === this.words.length) {
      const longer = new Uint32Array(2 * this.count);
      longer.set(this.words);
      this.words = longer;
    }
    this.words[this.count++] = word;
  }

  /** Add 1 to the words, read as one number. */
  private carry(): void {
    let at = this.count - 1;
    while (this.words[at] === WORD - 1) this.words[at--] = 0;
    this.words[at] += 1;
  }
}

/** Decodes words to symbols; after the last word come zeros. */
export class RangeDecoder {
  private at = 8;
  /** Distance of the point from the lower end of the interval. */
  private restLow: number;
  private restHigh: number;
  private rangeLow = WORD - 1;
  private rangeHigh = WORD - 1;

  constructor(private readonly data: Uint8Array) {
    this.restHigh = this.word(0);
    this.restLow = this.word(4);
  }

  /** Decode one symbol of a model. @throws DamagedError if no encoder writes these words */
  decode(starts: Starts): number {
    const step = this.step();
    const quantile = this.quantile(step);
    let left = 0;
    let right = starts.length - 1;
    while (right - left > 1) {
      const middle = (left + right) >> 1;
      if (starts[middle] <= quantile) left = middle;
      else right = middle;
    }
    this.take(step, starts[left], starts[left + 1] - starts[left]);
    return left;
  }

  /** Decode a value 0 … size − 1, all equally likely. @throws DamagedError if no encoder writes these words */
  decodeUniform(size: number): number {
    const each = Math.floor(WHOLE / size);
    const step = this.step();
    const value = Math.min(Math.floor(this.quantile(step) / each), size - 1);
    this.take(step, value * each, value < size - 1 ? each : WHOLE - value * each);
    return value;
  }

  private step(): number {
    return this.rangeHigh * 256 + (this.rangeLow >>> 24);
  }

  /** ⌊rest / step⌋: the quotient of floats is off by one at most. */
  private quantile(step: number): number {
    let found = Math.floor((this.restHigh * WORD + this.restLow) / step);
    if (found > WHOLE) found = WHOLE;
    multiply(step, found);
    let high = this.restHigh - product[1];
    let low = this.restLow - product[0];
    if (high < 0 || (high === 0 && low < 0)) {
      found -= 1;
    } else {
      if (low < 0) {
        low += WORD;
        high -= 1;
      }
      if (high * WORD + low >= step) found += 1;
    }
    if (found >= WHOLE) throw new DamagedError("the payload is damaged: no encoder writes these bytes");
    return found;
  }

  private take(step: number, start: number, width: number): void {
    multiply(step, start);
    let low = this.restLow - product[0];
    let high = this.restHigh - product[1];
    if (low < 0) {
      low += WORD;
      high -= 1;
    }
    multiply(step, width);
    if (product[1] === 0) {
      this.restHigh = low;
      this.restLow = this.word(this.at);
      this.at += 4;
      this.rangeHigh = product[0];
      this.rangeLow = 0;
    } else {
      this.restHigh = high;
      this.restLow = low;
      this.rangeHigh = product[1];
      this.rangeLow = product[0];
    }
  }

  private word(at: number): number {
    const { data } = this;
    if (at + 4 <= data.length) {
      return (data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24)) >>> 0;
    }
    let value = 0;
    for (let i = at; i < data.length; i++) value += data[i] * 2 ** (8 * (i - at));
    return value;
  }
}
