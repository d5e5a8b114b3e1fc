/** Jobs for the worker, which is started with the first of them and shared by all. */

import { fromPlain, InputError } from "./errors.js";
import { PACKAGED, WASM } from "./packaged.js";
import type { JobName, Jobs, Progress, WorkerPort } from "./protocol.js";
import { startWorker, threads } from "#platform";

interface Listener {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  /** Stops to wait for an abort. */
  readonly leave: () => void;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

export interface JobOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly transfer?: readonly Transferable[];
}

let port: WorkerPort | undefined;
let lastId = 0;
const listeners = new Map<number, Listener>();

/** Run a job; rejects with its error, or as soon as `signal` is aborted with the signal's reason. */
export function run<Name extends JobName>(
  name: Name,
  given: Jobs[Name]["arguments"],
  { signal, onProgress, transfer = [] }: JobOptions = {},
): Promise<Jobs[Name]["result"]> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const worker = started();
    const id = ++lastId;
    const abort = (): void => {
      worker.send({ type: "abort", id });
      settle(id);
      reject(signal!.reason);
    };
    const leave = (): void => signal?.removeEventListener("abort", abort);
    listeners.set(id, { resolve, reject, leave, onProgress });
    signal?.addEventListener("abort", abort, { once: true });
    worker.setBusy(true);
    try {
      worker.send({ type: "job", id, name, arguments: given }, transfer);
    } catch (error) {
      settle(id);
      reject(new InputError(`the image cannot be read, is it from another origin? ${(error as Error).message}`));
    }
  });
}

function settle(id: number): Listener | undefined {
  const found = listeners.get(id);
  found?.leave();
  listeners.delete(id);
  if (!listeners.size) port?.setBusy(false);
  return found;
}

function started(): WorkerPort {
  if (port) return port;
  const worker = startWorker();
  port = worker;
  worker.listen((response) => {
    const { id } = response;
    if (response.type === "progress") listeners.get(id)?.onProgress?.(response.progress);
    else if (response.type === "error") settle(id)?.reject(fromPlain(response.error));
    else settle(id)?.resolve(response.result as never);
  });
  worker.onFailure((error) => {
    if (port !== worker) return;
    port = undefined; // the next job starts another
    for (const id of [...listeners.keys()]) settle(id)?.reject(error);
  });
  worker.send({ type: "setup", setup: { ...WASM, ...PACKAGED, threads: threads() } });
  return worker;
}
