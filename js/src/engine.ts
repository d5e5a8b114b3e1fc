/** What the worker does: loads weights, encodes and decodes. */

import type { Allocator } from "./codec/allocation.js";
import { encodeFlat, encodeFlatWithin, isFlat, type EncodeAvif } from "./codec/flat.js";
import { shrunkWithin } from "./codec/shrink.js";
import { Codec, type Pixels, type View } from "./codec/still.js";
import { configure, Sessions, type Runner } from "./codec/runtime.js";
import { WeightSet, type Constants, type OnBytes, type ReadUrl, type WeightSource } from "./codec/weights.js";
import { CotamError, DamagedError, FormatError, UnknownWeightsError } from "./errors.js";
import { readSequenceHeader, restoreContainer } from "./format/av1.js";
import { checkSize, readFile, readKind, type CotamFile } from "./format/header.js";
import { readSequence } from "./format/sequence.js";
import { decodeLossless } from "./format/vp8l.js";
import { examine, profileOf, type Profile } from "./guide/content.js";
import { GuideGraph } from "./guide/graph.js";
import { guided } from "./guide/levels.js";
import { GroupDecoder } from "./groups.js";
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

/** How an image is encoded by the learned codec. */
interface Plan {
  readonly set: OpenSet;
  /** Of the image, or of a smaller version of it; null if bits are spread evenly. */
  readonly allocator: (pixels: Pixels) => Allocator | null;
}

const GRAPHS = /^(.*)\.onnx$/;

export class Engine {
  /** By short hash, in the order in which they were loaded. */
  private readonly sets = new Map<string, OpenSet>();
  private readonly packaged: Readonly<Record<Profile, OpenSet>>;
  private readonly guide: OpenSet;
  private runtime: Promise<void> | undefined;

  constructor(
    private readonly setup: Setup,
    private readonly host: Host,
  ) {
    this.packaged = { mllm: this.open(setup.sets.mllm), page: this.open(setup.sets.page) };
    this.guide = this.open(setup.guide);
  }

  /** Fetch run time and a whole weight set; of this package also the guide, without which there is no choosing. */
  async load(given: Profile | { readonly url: string }, onProgress: (progress: Progress) => void): Promise<void> {
    const isOwn = typeof given === "string";
    const found = isOwn ? this.packaged[given] : this.open(await this.sourceAt(given.url));
    const set = this.sets.get(found.weights.shortHash) ?? found;
    const report = meter(onProgress);
    const runtime = this.runtime ?? this.startRuntime(report("wasm", this.setup.wasmSize));
    const parts = (isOwn ? [set, this.guide] : [set]).flatMap(({ weights, sessions }) =>
      weights.files.map(async (file) => {
        const graph = GRAPHS.exec(file)?.[1];
        if (graph ? sessions.has(graph) : weights.isLoaded) return;
        const onBytes = report(file, weights.sizeOf(file));
        if (!graph) return weights.load(onBytes);
        await runtime;
        return sessions.load(graph, onBytes);
      }),
    );
    await Promise.all([runtime, ...parts]);
    this.register(set);
  }

  async encode(image: WorkerImage, job: EncodeJob, checkpoint: Checkpoint): Promise<Uint8Array> {
    let pixels = await toPixels(image);
    if (job.model !== undefined) {
      const { width, height } = fitSize(job.model, pixels.width / 3, pixels.height);
      pixels = shrink(pixels, width, height);
    }
    const avif = job.profile === "auto" && isFlat(pixels) ? await this.host.avifEncoder() : null;
    if (avif) {
      await checkpoint();
      if (job.targetSize === undefined) return encodeFlat(pixels, job.quality, avif);
      return shrunkWithin(pixels, job.targetSize, (smaller, target) => encodeFlatWithin(smaller, target, avif));
    }
    const { set, allocator } = await this.plan(pixels, job, checkpoint);
    const { codec } = await this.codecOf(set, checkpoint);
    if (job.targetSize === undefined) return codec.encode(pixels, job.quality, allocator(pixels));
    return shrunkWithin(pixels, job.targetSize, (smaller, target) =>
      codec.encodeWithin(smaller, target, allocator(smaller)),
    );
  }

  /** Choose the weight set, and where bits are spent, as Python's `Options.resolve`. */
  private async plan(pixels: Pixels, { profile, guide }: EncodeJob, checkpoint: Checkpoint): Promise<Plan> {
    const even = (): null => null;
    const [first] = this.sets.values();
    if (first && profile === "auto" && !this.isPackaged(first)) return { set: first, allocator: even };
    if (profile === "page" || (profile === "mllm" && guide === "none")) {
      return { set: this.loadedOrPackaged(profile), allocator: even };
    }
    await this.startRuntime();
    const content = await examine(new GuideGraph(this.setup.guide, this.runner(this.guide, checkpoint)), pixels);
    const chosen = profile === "auto" ? profileOf(content) : profile;
    const isGuided = chosen === "mllm" && guide === "auto";
    const { exponent } = this.setup.guide;
    return {
      set: this.loadedOrPackaged(chosen),
      allocator: isGuided ? (sized) => guided(content.importance, exponent, sized) : even,
    };
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
    const open = () => this.codecFor(header.weights, () => checkpoint()());
    const decodeStill = (still: Uint8Array) => this.pixelsOf(still, view, [], () => checkpoint()());
    const decoder = new GroupDecoder(header, view, open, decodeStill);
    for (const frame of frames) yield { time: frame.time, ...decoded(await decoder.decode(frame)) };
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
    const own = Object.values(this.packaged);
    const set = this.sets.get(shortHash) ?? own.find(({ weights }) => weights.shortHash === shortHash);
    if (!set) {
      const known = [...this.sets.values(), ...own].map(({ weights }) => weights.shortHash);
      throw new UnknownWeightsError(
        `the file was made with weight set ${shortHash}, which is not loaded (${[...new Set(known)].join(", ")} are): ` +
          "load({ weights: URL of its folder })",
      );
    }
    return this.codecOf(set, checkpoint);
  }

  private async codecOf(set: OpenSet, checkpoint: Checkpoint): Promise<{ codec: Codec; constants: Constants }> {
    const { weights } = set;
    const [constants] = await Promise.all([weights.load(), this.startRuntime()]);
    this.register(set);
    const run = this.runner(set, checkpoint);
    return { codec: new Codec(constants, run, weights.digest, weights.shortHash), constants };
  }

  private runner({ sessions }: OpenSet, checkpoint: Checkpoint): Runner {
    return async (graph, inputs) => {
      await checkpoint();
      return sessions.run(graph, inputs);
    };
  }

  private isPackaged({ weights }: OpenSet): boolean {
    return Object.values(this.packaged).some((set) => set.weights.shortHash === weights.shortHash);
  }

  /** A set of this package, or the same one where it was loaded from elsewhere. */
  private loadedOrPackaged(profile: Profile): OpenSet {
    const set = this.packaged[profile];
    return this.sets.get(set.weights.shortHash) ?? set;
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
    const file = await this.host.read(`${folder}manifest.json`, () => {});
    const manifest: Record<string, string> | null = await new Response(Uint8Array.from(file)).json().catch(() => null);
    if (!manifest?.["tables.npz"]) throw new UnknownWeightsError(`${folder}manifest.json is not that of a weight set`);
    const urls = Object.fromEntries(Object.keys(manifest).map((name) => [name, new URL(name, folder).href]));
    return { manifest, urls };
  }

  private startRuntime(onBytes: OnBytes = () => {}): Promise<void> {
    const { wasm, wasmSize, threads } = this.setup;
    this.runtime ??= this.host.read(wasm, onBytes).then((data) => {
      if (data.length !== wasmSize) throw new CotamError(`${wasm} is not the runtime of this package: ${data.length} bytes`);
      configure(data, threads);
    });
    this.runtime.catch(() => (this.runtime = undefined));
    return this.runtime;
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
