/** Run the graphs of a weight set with ONNX Runtime's WebAssembly build. */

import * as ort from "onnxruntime-web/wasm";
import { CotamError } from "../errors.js";
import type { OnBytes, WeightSet } from "./weights.js";

const TYPES = { float32: Float32Array, int16: Int16Array, uint8: Uint8Array };

/** An array with its shape: an input or output of a graph. */
export interface Tensor<T extends Float32Array | Int16Array | Uint8Array = Float32Array | Int16Array | Uint8Array> {
  readonly data: T;
  readonly shape: readonly number[];
}

/** Runs graphs by name and returns their outputs in order. */
export type Runner = (graph: string, inputs: Readonly<Record<string, Tensor>>) => Promise<Tensor[]>;

/**
 * Set what all sessions share, before the first is opened.
 *
 * @param binary ONNX Runtime's .wasm file
 * @param threads more than one need a page that is cross-origin isolated
 */
export function configure(binary: Uint8Array, threads: number): void {
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
}

/** The sessions of one weight set; each is opened when it is first needed. */
export class Sessions {
  private readonly sessions = new Map<string, Promise<ort.InferenceSession>>();

  constructor(private readonly weights: WeightSet) {}

  has(graph: string): boolean {
    return this.sessions.has(graph);
  }

  /** Open a session ahead of its first run. */
  async load(graph: string, onBytes?: OnBytes): Promise<void> {
    await this.open(graph, onBytes);
  }

  readonly run: Runner = async (graph, inputs) => {
    const session = await this.open(graph);
    const feeds: Record<string, ort.Tensor> = {};
    for (const [name, { data, shape }] of Object.entries(inputs)) {
      const type = (Object.keys(TYPES) as (keyof typeof TYPES)[]).find((key) => data instanceof TYPES[key])!;
      feeds[name] = new ort.Tensor(type, data, shape);
    }
    const outputs = await session.run(feeds);
    return session.outputNames.map((name) => {
      const { data, dims } = outputs[name];
      return { data: data as Tensor["data"], shape: dims };
    });
  };

  private open(graph: string, onBytes?: OnBytes): Promise<ort.InferenceSession> {
    let found = this.sessions.get(graph);
    if (!found) {
      found = this.create(graph, onBytes);
      found.catch(() => this.sessions.delete(graph));
      this.sessions.set(graph, found);
    }
    return found;
  }

  private async create(graph: string, onBytes?: OnBytes): Promise<ort.InferenceSession> {
    const model = await this.weights.file(`${graph}.onnx`, onBytes);
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" } as const;
    return ort.InferenceSession.create(model, options).catch((error: Error) => {
      throw new CotamError(`ONNX Runtime cannot open ${graph}.onnx: ${error.message}`);
    });
  }
}
