/** What the page or program and the worker say to each other. */

import type { View } from "./codec/still.js";
import type { WeightSource } from "./codec/weights.js";
import type { PlainError } from "./errors.js";
import type { Profile } from "./guide/content.js";
import type { GuideSource } from "./guide/graph.js";
import type { WorkerImage } from "./image/pixels.js";

/** Bytes of weights and run time that were fetched, of those that are known to come. */
export interface Progress {
  readonly loaded: number;
  readonly total: number;
}

/** Decoded pixels in RGBA. */
export interface Decoded {
  readonly data: Uint8ClampedArray<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** A decoded frame of a sequence; `time` in seconds. */
export interface DecodedFrame extends Decoded {
  readonly time: number;
}

/** How an image is encoded. */
export interface EncodeJob {
  readonly quality: number;
  readonly targetSize: number | undefined;
  /** The model whose size the image is shrunk to. */
  readonly model: string | undefined;
  readonly profile: Profile | "auto";
  readonly guide: "auto" | "none";
}

/** Where the run time, the packaged weights and the guide are, and the number of threads. */
export interface Setup {
  readonly wasm: string;
  readonly wasmSize: number;
  readonly sets: Readonly<Record<Profile, WeightSource>>;
  readonly guide: GuideSource;
  readonly threads: number;
}

/** Name of a job → its arguments and its result. */
export interface Jobs {
  load: { arguments: { weights: Profile | { readonly url: string } }; result: void };
  encode: { arguments: { image: WorkerImage; job: EncodeJob }; result: Uint8Array<ArrayBuffer> };
  decode: { arguments: { file: Uint8Array; view: View; earlier: readonly Uint8Array[] }; result: Decoded };
  /** Open a sequence; the result is its number for the jobs below. */
  openFrames: { arguments: { file: Uint8Array; view: View }; result: number };
  /** The next frame; null after the last. */
  nextFrame: { arguments: { sequence: number }; result: DecodedFrame | null };
  closeFrames: { arguments: { sequence: number }; result: void };
}

export type JobName = keyof Jobs;

export type Request =
  | { readonly type: "setup"; readonly setup: Setup }
  | { readonly type: "abort"; readonly id: number }
  | { readonly type: "job"; readonly id: number; readonly name: JobName; readonly arguments: unknown };

export type Response = { readonly id: number } & (
  | { readonly type: "result"; readonly result: unknown }
  | { readonly type: "error"; readonly error: PlainError }
  | { readonly type: "progress"; readonly progress: Progress }
);

/** One end of the channel between the two. */
export interface Port<Sent, Received> {
  send(message: Sent, transfer?: readonly object[]): void;
  listen(onMessage: (message: Received) => void): void;
}

/** The worker, seen from outside. */
export interface WorkerPort extends Port<Request, Response> {
  /** Hears of a worker that could not be started or that ended; no messages come afterwards. */
  onFailure(heard: (error: Error) => void): void;
  /** In Node: whether the process waits for the worker. */
  setBusy(busy: boolean): void;
}
