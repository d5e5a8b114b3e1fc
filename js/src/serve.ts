/** The worker's side of the channel: takes jobs, does one after the other, and answers. */

import { toPlain } from "./errors.js";
import { Engine, type Checkpoint, type Host } from "./engine.js";
import type { DecodedFrame, JobName, Jobs, Port, Request, Response } from "./protocol.js";

class Aborted extends Error {}

interface Sequence {
  readonly frames: AsyncGenerator<DecodedFrame>;
  /** Of the job that asked for a frame last. */
  checkpoint: Checkpoint;
}

/** Lets messages arrive. */
const breathe = (() => {
  const { port1, port2 } = new MessageChannel();
  const waiting: (() => void)[] = [];
  port1.onmessage = () => waiting.shift()?.();
  return (): Promise<void> =>
    new Promise((resolve) => {
      waiting.push(resolve);
      port2.postMessage(null);
    });
})();

/** Answer the requests that arrive at a port. */
export function serve(port: Port<Response, Request>, host: Host): void {
  let engine: Engine;
  let last: Promise<void> = Promise.resolve();
  const pending = new Set<number>();
  const sequences = new Map<number, Sequence>();

  const jobs: { [Name in JobName]: (given: Jobs[Name]["arguments"], id: number) => Promise<Jobs[Name]["result"]> } = {
    load: ({ weights }, id) => engine.load(weights, (progress) => port.send({ id, type: "progress", progress })),
    encode: async ({ image, job }, id) => (await engine.encode(image, job, checkpointOf(id))) as Uint8Array<ArrayBuffer>,
    decode: ({ file, view, earlier }, id) => engine.decode(file, view, earlier, checkpointOf(id)),
    openFrames: async ({ file, view }, id) => {
      const sequence: Sequence = {
        frames: engine.frames(file, view, () => sequence.checkpoint),
        checkpoint: checkpointOf(id),
      };
      sequences.set(id, sequence);
      return id;
    },
    nextFrame: async ({ sequence }, id) => {
      const found = sequences.get(sequence)!;
      found.checkpoint = checkpointOf(id);
      const { value } = await found.frames.next();
      return value ?? null;
    },
    closeFrames: async ({ sequence }) => {
      await sequences.get(sequence)?.frames.return(undefined);
      sequences.delete(sequence);
    },
  };

  function checkpointOf(id: number): Checkpoint {
    return async () => {
      await breathe();
      if (!pending.has(id)) throw new Aborted();
    };
  }

  async function answer(id: number, name: JobName, given: unknown): Promise<void> {
    try {
      await checkpointOf(id)();
      const result = await (jobs[name] as (given: unknown, id: number) => Promise<unknown>)(given, id);
      port.send({ id, type: "result", result }, buffersOf(result));
    } catch (error) {
      if (!(error instanceof Aborted)) port.send({ id, type: "error", error: toPlain(error) });
    } finally {
      pending.delete(id);
    }
  }

  port.listen((request) => {
    if (request.type === "setup") {
      engine = new Engine(request.setup, host);
    } else if (request.type === "abort") {
      pending.delete(request.id);
    } else {
      const { id, name, arguments: given } = request;
      pending.add(id);
      last = last.then(() => answer(id, name, given)); // ONNX Runtime runs one graph at a time
    }
  });
}

/** The buffers of a result that move rather than being copied. */
function buffersOf(result: unknown): Transferable[] {
  if (result instanceof Uint8Array) return [result.buffer];
  const { data } = (result ?? {}) as Partial<DecodedFrame>;
  return data ? [data.buffer] : [];
}
