/** Start the worker in a browser. */

import { CotamError } from "./errors.js";
import type { WorkerPort } from "./protocol.js";

export function startWorker(): WorkerPort {
  const worker = createWorker();
  return {
    send: (message, transfer = []) => worker.postMessage(message, transfer as Transferable[]),
    listen: (onMessage) => worker.addEventListener("message", ({ data }) => onMessage(data)),
    onFailure: (heard) =>
      worker.addEventListener("error", ({ message }) => {
        worker.terminate();
        heard(new CotamError(`the worker of cotam failed: ${message || "its script could not be loaded"}`));
      }),
    setBusy: () => {},
  };
}

function createWorker(): Worker {
  if (!("Worker" in globalThis)) throw new CotamError("service workers start no workers: encode and decode in pages");
  try {
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "cotam" });
  } catch (error) {
    throw new CotamError(`the worker of cotam cannot be started, serve the package from the page's origin: ${error}`);
  }
}

/** Threads of the run time: more than one need shared memory, which browsers give to isolated pages alone. */
export function threads(): number {
  if (!globalThis.crossOriginIsolated) return 1;
  return Math.min(4, Math.ceil((navigator.hardwareConcurrency || 2) / 2));
}
