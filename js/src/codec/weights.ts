/** Weight sets: found by their manifest, fetched file by file when first needed, each checked by its SHA-256. */

import { UnknownWeightsError } from "../errors.js";
import { hex, sha256 } from "../format/checks.js";
import { readNpz } from "../format/npz.js";
import { Tables } from "../format/symbols.js";

/** Hears of the bytes of a file that have arrived, and of all that are to come if that is known. */
export type OnBytes = (loaded: number, total?: number) => void;
/** Reads a file from a URL, or throws. */
export type ReadUrl = (url: string, onBytes: OnBytes) => Promise<Uint8Array>;

/** Where the files of a weight set are. */
export interface WeightSource {
  /** File → SHA-256 in hexadecimal. */
  readonly manifest: Readonly<Record<string, string>>;
  /** File → URL. */
  readonly urls: Readonly<Record<string, string>>;
  /** File → bytes, where they are known. */
  readonly sizes?: Readonly<Record<string, number>>;
}

/** An array with one row for each quality. */
export interface Rows<T extends Float32Array | Int8Array> {
  readonly width: number;
  row(number: number): T;
}

/** Tables and constants of a weight set. */
export interface Constants {
  readonly tables: Tables;
  readonly gains: Rows<Float32Array>;
  readonly nominal: Rows<Float32Array>;
  readonly zMultipliers: Rows<Float32Array>;
  readonly zIndex: Rows<Int8Array>;
  readonly sums64: Rows<Float32Array>;
  readonly sums32: Rows<Float32Array>;
  readonly offset: Rows<Float32Array>;
  readonly views: Float32Array;
  /** What quality adds within the hyper context. */
  readonly hyperQuality: Rows<Float32Array>;
  /** What step and turn add, in the row 4 · step + turn. */
  readonly hyperPlace: Rows<Float32Array>;
}

/** A weight set that is fetched as it is needed. */
export class WeightSet {
  /** SHA-256 over the hashes in the manifest, 32 bytes. */
  readonly digest: Uint8Array;
  /** The first two bytes, as in the headers of files, in hexadecimal. */
  readonly shortHash: string;
  private constants: Promise<Constants> | undefined;

  constructor(
    private readonly source: WeightSource,
    private readonly read: ReadUrl,
  ) {
    const { manifest } = source;
    const text = Object.keys(manifest).sort().map((name) => `${name} ${manifest[name]}\n`);
    this.digest = sha256(new TextEncoder().encode(text.join("")));
    this.shortHash = hex(this.digest.subarray(0, 2));
  }

  get files(): string[] {
    return Object.keys(this.source.manifest);
  }

  sizeOf(file: string): number | undefined {
    return this.source.sizes?.[file];
  }

  /** @throws UnknownWeightsError if the bytes of a file are not those of the manifest */
  async file(name: string, onBytes: OnBytes = () => {}): Promise<Uint8Array> {
    const url = this.source.urls[name];
    const data = await this.read(url, onBytes);
    if (hex(sha256(data)) !== this.source.manifest[name]) {
      throw new UnknownWeightsError(`${url} does not match the manifest of its weight set`);
    }
    return data;
  }

  get isLoaded(): boolean {
    return this.constants !== undefined;
  }

  /** Tables and constants. @throws as `file` */
  load(onBytes?: OnBytes): Promise<Constants> {
    this.constants ??= this.file("tables.npz", onBytes).then(readConstants);
    this.constants.catch(() => (this.constants = undefined)); // so that another try may succeed
    return this.constants;
  }
}

function readConstants(data: Uint8Array): Constants {
  const arrays = readNpz(data);
  const array = <T>(name: string): T => {
    const found = arrays.get(name);
    if (!found) throw new UnknownWeightsError(`tables.npz of the weight set has no ${name}`);
    return found.data as T;
  };
  const rows = <T extends Float32Array | Int8Array>(name: string): Rows<T> => {
    const values = array<T>(name);
    const { shape } = arrays.get(name)!;
    const width = shape.length > 1 ? shape[shape.length - 1] : 1;
    return { width, row: (number) => values.subarray(number * width, (number + 1) * width) as T };
  };
  return {
    tables: new Tables(array("frequencies"), array("lengths")),
    gains: rows("gains"),
    nominal: rows("nominal"),
    zMultipliers: rows("z_multipliers"),
    zIndex: rows("z_index"),
    sums64: rows("sums64"),
    sums32: rows("sums32"),
    offset: rows("offset"),
    views: array("views"),
    hyperQuality: rows("hyper_quality"),
    hyperPlace: rows("hyper_place"),
  };
}
