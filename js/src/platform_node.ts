/** Start the worker in Node. */

import { Worker, type TransferListItem } from "node:worker_threads";
import { CotamError } from "./errors.js";
import type { WorkerPort } from "./protocol.js";

export function startWorker(): WorkerPort {
  const worker = new Worker(new URL("./worker_node.js", import.meta.url), { name: "cotam" });
  worker.unref(); // a program ends when its own work is done
  return {
    send: (message, transfer = []) => worker.postMessage(message, transfer as TransferListItem[]),
    listen: (onMessage) => worker.on("message", onMessage),
    onFailure: (heard) => {
      worker.on("error", (error) => heard(new CotamError(`the worker of cotam failed: ${error.message}`)));
      worker.on("exit", () => heard(new CotamError("the worker of cotam ended")));
    },
    setBusy: (busy) => (busy ? worker.ref() : worker.unref()),
  };
}

export function threads(): number {
  return 1;
}
