/** Symbols, coded with a range coder and stored integer tables, table by table. */

import { FormatError } from "../errors.js";
import { RangeDecoder, RangeEncoder, startsOf, type Starts } from "./rangecoder.js";

/** Frequencies of a table add up to 2^this. */
export const TOTAL_BITS = 16;
/** Symbols are within ± this. */
export const SYMBOL_LIMIT = 32_767;

const ESCAPED = 2 * SYMBOL_LIMIT + 1;

/** Frequencies of symbols, symmetric around zero. */
export class Tables {
  readonly count: number;
  /** Mean bits of a symbol of each table, escaped values included. */
  readonly entropies: Float64Array;
  private readonly halves: readonly Uint32Array[];
  private readonly models: (Starts | undefined)[] = [];

  /**
   * @param frequencies of all tables in a row: of 0, 1, … L and of the escape
   * @param lengths entries of each table; that of table 0 is 1, and its symbols are not coded
   */
  constructor(frequencies: Uint32Array, lengths: Uint32Array) {
    let at = 0;
    this.halves = Array.from(lengths, (length) => frequencies.subarray(at, (at += length)));
    this.count = lengths.length;
    this.halves.slice(1).forEach((half, number) => {
      const sum = half.reduce((total, one, i) => total + one * (i === 0 || i === half.length - 1 ? 1 : 2), 0);
      if (half.length < 2 || sum !== 2 ** TOTAL_BITS || half.includes(0)) {
        throw new FormatError(`table ${number + 1} of the weight set does not add up to 2^${TOTAL_BITS}`);
      }
    });
    this.entropies = Float64Array.from(this.halves, entropy);
  }

  /** Largest symbol of a table that is not escaped. */
  largest(table: number): number {
    return this.halves[table].length - 2;
  }

  /** The model of a table over −L … L and the escape. */
  model(table: number): Starts {
    return (this.models[table] ??= modelOf(this.halves[table]));
  }

  /** Bits of all symbols, about. */
  bits(symbols: Int16Array, index: Uint8Array): number {
    let total = 0;
    for (let i = 0; i < symbols.length; i++) {
      if (index[i] === 0) continue;
      const half = this.halves[index[i]];
      const away = Math.abs(symbols[i]);
      const escaped = away > half.length - 2;
      total += TOTAL_BITS - Math.log2(half[escaped ? half.length - 1 : away]) + (escaped ? TOTAL_BITS : 0);
    }
    return total;
  }
}

function modelOf(half: Uint32Array): Starts {
  const both = new Uint32Array(2 * half.length - 2);
  const last = half.length - 2;
  for (let i = 0; i < half.length; i++) both[last + i] = half[i];
  for (let i = 1; i <= last; i++) both[last - i] = half[i];
  return startsOf(both, TOTAL_BITS);
}

function entropy(half: Uint32Array, table: number): number {
  if (table === 0) return 0;
  const last = half.length - 1;
  let sum = 0;
  half.forEach((frequency, i) => {
    const cost = TOTAL_BITS - Math.log2(frequency) + (i === last ? TOTAL_BITS : 0);
    sum += cost * frequency * (i === 0 || i === last ? 1 : 2);
  });
  return sum / 2 ** TOTAL_BITS;
}

/** Positions by table: those of table t are order[ends[t − 1]] … order[ends[t] − 1], in rising order. */
function groups(index: Uint8Array): { order: Uint32Array; ends: Uint32Array } {
  const ends = new Uint32Array(256);
  for (let i = 0; i < index.length; i++) ends[index[i]]++;
  const next = new Uint32Array(256);
  for (let table = 1; table < 256; table++) {
    next[table] = ends[table - 1];
    ends[table] += ends[table - 1];
  }
  const order = new Uint32Array(index.length);
  for (let i = 0; i < index.length; i++) order[next[index[i]]++] = i;
  return { order, ends };
}

/** Writes symbols call by call. */
export class SymbolWriter {
  private readonly coder = new RangeEncoder();

  constructor(private readonly tables: Tables) {}

  /** Write symbols with the table `index` of each; symbols of table 0 must be 0. */
  put(symbols: Int16Array, index: Uint8Array): void {
    const { order, ends } = groups(index);
    for (let table = 1; table < 256; table++) {
      if (ends[table - 1] === ends[table]) continue;
      const starts = this.tables.model(table);
      const largest = this.tables.largest(table);
      const escaped = [];
      for (let i = ends[table - 1]; i < ends[table]; i++) {
        const value = symbols[order[i]];
        const code = Math.abs(value) > largest ? 2 * largest + 1 : value + largest;
        if (code === 2 * largest + 1) escaped.push(value);
        this.coder.encode(starts[code], starts[code + 1] - starts[code]);
      }
      for (const value of escaped) this.coder.encodeUniform(value + SYMBOL_LIMIT, ESCAPED);
    }
  }

  /** Write an integer 0 … size − 1. */
  putUniform(value: number, size: number): void {
    this.coder.encodeUniform(value, size);
  }

  /** Write one symbol with a model of the caller. */
  putOne(code: number, starts: Starts): void {
    this.coder.encode(starts[code], starts[code + 1] - starts[code]);
  }

  finish(): Uint8Array {
    return this.coder.finish();
  }
}

/** Reads what a `SymbolWriter` wrote, call by call. All methods throw DamagedError on impossible bytes. */
export class SymbolReader {
  private readonly coder: RangeDecoder;

  constructor(
    private readonly tables: Tables,
    data: Uint8Array,
  ) {
    this.coder = new RangeDecoder(data);
  }

  /** Read the symbols of tables `index`. */
  get(index: Uint8Array): Int16Array {
    const found = new Int16Array(index.length);
    const { order, ends } = groups(index);
    for (let table = 1; table < 256; table++) {
      if (ends[table - 1] === ends[table]) continue;
      const starts = this.tables.model(table);
      const largest = this.tables.largest(table);
      const escaped = [];
      for (let i = ends[table - 1]; i < ends[table]; i++) {
        const code = this.coder.decode(starts);
        if (code > 2 * largest) escaped.push(order[i]);
        else found[order[i]] = code - largest;
      }
      for (const place of escaped) found[place] = this.coder.decodeUniform(ESCAPED) - SYMBOL_LIMIT;
    }
    return found;
  }

  /** Read an integer 0 … size − 1. */
  getUniform(size: number): number {
    return this.coder.decodeUniform(size);
  }

  /** Read one symbol with a model of the caller. */
  getOne(starts: Starts): number {
    return this.coder.decode(starts);
  }
}
