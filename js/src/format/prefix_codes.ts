/** The bits and prefix codes of a VP8L bitstream (RFC 9649, sections 3.2 and 6.2). */

import { DamagedError, TruncatedError } from "../errors.js";

/** Bits of some bytes, least significant first. */
export class BitReader {
  private at = 0;

  constructor(private readonly data: Uint8Array) {}

  /** The next `count` bits, at most 24. */
  read(count: number): number {
    const value = this.peek(count);
    this.skip(count);
    return value;
  }

  /** The same, without going on; zeros beyond the end. */
  peek(count: number): number {
    const byte = this.at >> 3;
    const { data } = this;
    const four = data[byte] | (data[byte + 1] << 8) | (data[byte + 2] << 16) | (data[byte + 3] << 24);
    return (four >>> (this.at & 7)) & ((1 << count) - 1);
  }

  /** @throws TruncatedError beyond the end */
  skip(count: number): void {
    this.at += count;
    if (this.at > 8 * this.data.length) throw new TruncatedError("the lossless image ends too early");
  }
}

const LONGEST = 15;
const FAST_BITS = 8;
const LENGTH_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const LENGTH_CODES = 19;

/** A canonical prefix code. */
export class PrefixCode {
  /** Symbols in the order of their codes. */
  private readonly symbols: Uint16Array;
  private readonly counts = new Uint16Array(LONGEST + 1);
  /** By the next eight bits: symbol · 16 + length; 0 for longer codes. */
  private readonly fast = new Uint32Array(1 << FAST_BITS);
  /** The one symbol of a code without bits. */
  private readonly only: number = -1;

  /** @param lengths of the codes of all symbols; 0 for symbols that do not occur */
  constructor(lengths: Uint8Array) {
    const used = [...lengths.keys()].filter((symbol) => lengths[symbol] > 0);
    for (const symbol of used) this.counts[lengths[symbol]]++;
    this.symbols = Uint16Array.from(used.sort((a, b) => lengths[a] - lengths[b] || a - b));
    if (used.length === 1) {
      this.only = used[0];
      return;
    }
    let left = 1;
    for (let length = 1; length <= LONGEST; length++) left = 2 * left - this.counts[length];
    if (left !== 0) throw new DamagedError("the lossless image is damaged: it has an impossible prefix code");
    this.fill(lengths);
  }

  read(bits: BitReader): number {
    if (this.only >= 0) return this.only;
    const found = this.fast[bits.peek(FAST_BITS)];
    if (found) {
      bits.skip(found & 15);
      return found >> 4;
    }
    const next = bits.peek(LONGEST);
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= LONGEST; length++) {
      code |= (next >> (length - 1)) & 1;
      const count = this.counts[length];
      if (code - first < count) {
        bits.skip(length);
        return this.symbols[index + code - first];
      }
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new DamagedError("the lossless image is damaged: it has an impossible prefix code");
  }

  private fill(lengths: Uint8Array): void {
    let code = 0;
    let before = 0;
    for (const symbol of this.symbols) {
      const length = lengths[symbol];
      if (length > FAST_BITS) return;
      code <<= length - before;
      before = length;
      let reversed = 0;
      for (let bit = 0; bit < length; bit++) reversed |= ((code >> bit) & 1) << (length - 1 - bit);
      for (let at = reversed; at < 1 << FAST_BITS; at += 1 << length) this.fast[at] = symbol * 16 + length;
      code += 1;
    }
  }
}

/** Read a prefix code of an alphabet. */
export function readPrefixCode(bits: BitReader, size: number): PrefixCode {
  const lengths = new Uint8Array(size);
  const add = (symbol: number): void => {
    if (symbol >= size) throw new DamagedError(`the lossless image is damaged: it has a symbol ${symbol} of ${size}`);
    lengths[symbol] = 1;
  };
  if (bits.read(1)) {
    const count = bits.read(1) + 1;
    add(bits.read(bits.read(1) ? 8 : 1));
    if (count === 2) add(bits.read(8));
    return new PrefixCode(lengths);
  }
  const own = new Uint8Array(LENGTH_CODES);
  const count = 4 + bits.read(4);
  for (let i = 0; i < count; i++) own[LENGTH_ORDER[i]] = bits.read(3);
  readLengths(bits, new PrefixCode(own), lengths);
  return new PrefixCode(lengths);
}

function readLengths(bits: BitReader, code: PrefixCode, lengths: Uint8Array): void {
  let left = lengths.length;
  if (bits.read(1)) {
    left = 2 + bits.read(2 + 2 * bits.read(3));
    if (left > lengths.length) throw new DamagedError("the lossless image is damaged: it has too many code lengths");
  }
  let before = 8;
  for (let at = 0; at < lengths.length && left > 0; left--) {
    const length = code.read(bits);
    if (length < 16) {
      lengths[at++] = length;
      if (length) before = length;
      continue;
    }
    const repeated = [() => 3 + bits.read(2), () => 3 + bits.read(3), () => 11 + bits.read(7)][length - 16]();
    if (at + repeated > lengths.length) {
      throw new DamagedError("the lossless image is damaged: it has too many code lengths");
    }
    lengths.fill(length === 16 ? before : 0, at, at + repeated);
    at += repeated;
  }
}
