/** What the worker does: loads weights, encodes and decodes. */

import { encodeFlat, encodeFlatWithin, isFlat, type EncodeAvif } from "./codec/flat.js";
import { shrunkWithin } from "./codec/shrink.js";
import { Codec, type Pixels, type View } from "./codec/still.js";
import { configure, Sessions, type Runner } from "./codec/runtime.js";
import { FrameDecoder } from "./codec/temporal.js";
import { WeightSet, type Constants, type OnBytes, type ReadUrl, type WeightSource } from "./codec/weights.js";
import { DamagedError, FormatError, InputError, UnknownWeightsError } from "./errors.js";
import { readSequenceHeader, restoreContainer } from "./format/av1.js";
import { checkSize, readFile, readKind, type CotamFile } from "./format/header.js";
import { readSequence } from "./format/sequence.js";
import { decodeLossless } from "./format/vp8l.js";
import { toPixels, toRgba, type WorkerImage } from "./image/pixels.js";
import { shrink } from "./image/resize.js";
import { fitSize } from "./models.js";
import { pastePatch, readPatch } from "./patch.js";
import type { Decoded, DecodedFrame, EncodeJob, Progress, Setup } from "./protocol.js";

/** What differs between browsers and Node. */
export interface Host {
  readonly read: ReadUrl;
  /** Decode an AVIF file. @throws MissingCodecError, Error */
  readonly decodeAvif: (file: Uint8Array<ArrayBuffer>) => Promise<Pixels>;
  /** An encoder of AVIF files; null if there is none. */
  readonly avifEncoder: () => Promise<EncodeAvif | null>;
}

/** Called between graphs: lets messages arrive, and throws where the job was aborted. */
export type Checkpoint = () => Promise<void>;

interface OpenSet {
  readonly weights: WeightSet;
  readonly sessions: Sessions;
}

const GRAPHS = /^(.*)\.onnx$/;

export class Engine {
  /** By short hash, in the order in which they were loaded. */
  private readonly sets = new Map<string, OpenSet>();
  private readonly packaged: OpenSet;
  private runtime: Promise<void> | undefined;

  constructor(
    private readonly setup: Setup,
    private readonly host: Host,
  ) {
    this.packaged = this.open(setup.weights);
  }

  /** Fetch run time and a whole weight set; `url` is that of its folder. */
  async load(url: string | undefined, onProgress: (progress: Progress) => void): Promise<void> {
    const set = url === undefined ? this.packaged : this.open(await this.sourceAt(url));
    const { weights, sessions } = this.sets.get(set.weights.shortHash) ?? set;
    const report = meter(onProgress);
    const runtime = this.runtime ?? this.startRuntime(report("wasm", this.setup.wasmSize));
    const parts = weights.files.map(async (file) => {
      const graph = GRAPHS.exec(file)?.[1];
      if (graph ? sessions.has(graph) : weights.isLoaded) return;
      const onBytes = report(file, weights.sizeOf(file));
      if (!graph) return weights.load(onBytes);
      await runtime;
      return sessions.open(graph, onBytes);
    });
    await Promise.all([runtime, ...parts]);
    this.register({ weights, sessions });
  }

  async encode(image: WorkerImage, job: EncodeJob, checkpoint: Checkpoint): Promise<Uint8Array> {
    let pixels = await toPixels(image);
    if (job.model !== undefined) {
      const { width, height } = sizeFor(job.model, pixels);
      pixels = shrink(pixels, width, height);
    }
    const avif = isFlat(pixels) ? await this.host.avifEncoder() : null;
    if (avif) {
      await checkpoint();
      if (job.targetSize === undefined) return encodeFlat(pixels, job.quality, avif);
      return shrunkWithin(pixels, job.targetSize, (smaller, target) => encodeFlatWithin(smaller, target, avif));
    }
    const [first = this.packaged] = this.sets.values();
    const { codec } = await this.codecOf(first, checkpoint);
    if (job.targetSize === undefined) return codec.encode(pixels, job.quality);
    return shrunkWithin(pixels, job.targetSize, (smaller, target) => codec.encodeWithin(smaller, target));
  }

  async decode(
    data: Uint8Array,
    view: View,
    earlier: readonly Uint8Array[],
    checkpoint: Checkpoint,
  ): Promise<Decoded> {
    return decoded(await this.pixelsOf(data, view, earlier, checkpoint));
  }

  async *frames(data: Uint8Array, view: View, checkpoint: () => Checkpoint): AsyncGenerator<DecodedFrame> {
    const { header, frames } = readSequence(data);
    const { codec, constants } = await this.codecFor(header.weights, () => checkpoint()());
    const decoder = new FrameDecoder(codec, constants, header.height, header.width, header.quality);
    for (const frame of frames) {
      yield { time: frame.time, ...decoded(await decoder.decode(frame, view)) };
    }
  }

  private async pixelsOf(
    data: Uint8Array,
    view: View,
    earlier: readonly Uint8Array[],
    checkpoint: Checkpoint,
  ): Promise<Pixels> {
    const kind = readKind(data);
    if (kind === "sequence") {
      for await (const { data: rgba, width, height } of this.frames(data, view, () => checkpoint)) {
        return toPixels({ data: rgba, width, height });
      }
      throw new FormatError("the sequence has no frames");
    }
    const file = readFile(data);
    checkSize(file.header.width, file.header.height);
    if (kind === "learned") return (await this.codecFor(file.header.weights, checkpoint)).codec.decode(file, view);
    if (kind === "lossless") return decodeLossless(file.payload, file.header.width, file.header.height);
    if (kind === "av1") return this.decodeAv1(file);
    return pastePatch(readPatch(file), earlier, (part) => this.pixelsOf(part, view, earlier, checkpoint));
  }

  private async decodeAv1({ payload, header: { width, height } }: CotamFile): Promise<Pixels> {
    const found = readSequenceHeader(payload);
    if (found.width !== width || found.height !== height) {
      throw new FormatError(`the AV1 image is ${found.width}×${found.height}, the file says ${width}×${height}`);
    }
    const pixels = await this.host.decodeAvif(restoreContainer(payload));
    if (pixels.width !== 3 * width || pixels.height !== height) {
      throw new DamagedError(`the AV1 image came out as ${pixels.width / 3}×${pixels.height} pixels`);
    }
    return pixels;
  }

  private codecFor(shortHash: string, checkpoint: Checkpoint): Promise<{ codec: Codec; constants: Constants }> {
    const isPackaged = shortHash === this.packaged.weights.shortHash;
    const set = this.sets.get(shortHash) ?? (isPackaged ? this.packaged : undefined);
    if (!set) {
      const known = [...new Set([...this.sets.keys(), this.packaged.weights.shortHash])].join(", ");
      throw new UnknownWeightsError(
        `the file was made with weight set ${shortHash}, which is not loaded (${known} are): ` +
          "load({ weights: URL of its folder })",
      );
    }
    return this.codecOf(set, checkpoint);
  }

  private async codecOf(set: OpenSet, checkpoint: Checkpoint): Promise<{ codec: Codec; constants: Constants }> {
    const { weights, sessions } = set;
    const [constants] = await Promise.all([weights.load(), this.startRuntime()]);
    this.register(set);
    const run: Runner = async (graph, inputs) => {
      await checkpoint();
      return sessions.run(graph, inputs);
    };
    return { codec: new Codec(constants, run, weights.digest, weights.shortHash), constants };
  }

  private register(set: OpenSet): void {
    if (!this.sets.has(set.weights.shortHash)) this.sets.set(set.weights.shortHash, set);
  }

  private open(source: WeightSource): OpenSet {
    const weights = new WeightSet(source, this.host.read);
    return { weights, sessions: new Sessions(weights) };
  }

  private async sourceAt(url: string): Promise<WeightSource> {
    const folder = url.endsWith("/") ? url : `${url}/`;
    const text = new TextDecoder().decode(await this.host.read(`${folder}manifest.json`, () => {}));
    const manifest = JSON.parse(text) as Record<string, string>;
    const urls = Object.fromEntries(Object.keys(manifest).map((name) => [name, new URL(name, folder).href]));
    return { manifest, urls };
  }

  private startRuntime(onBytes: OnBytes = () => {}): Promise<void> {
    this.runtime ??= this.host.read(this.setup.wasm, onBytes).then((data) => configure(data, this.setup.threads));
    this.runtime.catch(() => (this.runtime = undefined));
    return this.runtime;
  }
}

function sizeFor(model: string, pixels: Pixels): { width: number; height: number } {
  try {
    return fitSize(model, pixels.width / 3, pixels.height);
  } catch (error) {
    if (error instanceof RangeError) throw new InputError(error.message);
    throw error;
  }
}

function decoded(pixels: Pixels): Decoded {
  return { data: toRgba(pixels), width: pixels.width / 3, height: pixels.height };
}

/** Adds the bytes of several files up; each gets a function that hears of its bytes. */
function meter(
  onProgress: (progress: Progress) => void,
): (file: string, size?: number) => OnBytes {
  const loaded = new Map<string, number>();
  const sizes = new Map<string, number>();
  const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
  return (file, size) => {
    if (size !== undefined) sizes.set(file, size);
    return (count, total) => {
      loaded.set(file, count);
      if (total !== undefined && size === undefined) sizes.set(file, total);
      onProgress({ loaded: sum(loaded.values()), total: sum(sizes.values()) });
    };
  };
}
