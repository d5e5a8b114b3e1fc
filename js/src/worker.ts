/** The worker of browsers. */

import type { OnBytes, ReadUrl } from "./codec/weights.js";
import { CotamError } from "./errors.js";
import { decodeBlob, fromBitmap } from "./image/pixels.js";
import { serve } from "./serve.js";

const scope = globalThis as unknown as DedicatedWorkerScope;

interface DedicatedWorkerScope {
  readonly name: string;
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", heard: (event: MessageEvent) => void): void;
}

const read: ReadUrl = (url, onBytes) =>
  fetched(url, onBytes).catch((error: Error) => {
    throw new CotamError(`${url} cannot be fetched: ${error.message}`);
  });

async function fetched(url: string, onBytes: OnBytes): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
  // With a content encoding, the length is not that of the bytes that arrive here.
  const encoded = response.headers.has("content-encoding");
  const total = Number(response.headers.get("content-length")) || undefined;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let loaded = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    onBytes((loaded += value.length), encoded ? undefined : total);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

// The run time starts its threads with this script, under a name of its own.
if (!scope.name.startsWith("em-pthread")) {
  serve(
    {
      send: (message, transfer = []) => scope.postMessage(message, transfer as Transferable[]),
      listen: (onMessage) => scope.addEventListener("message", ({ data }) => onMessage(data)),
    },
    {
      read,
      decodeAvif: async (file) => fromBitmap(await decodeBlob(new Blob([file], { type: "image/avif" })), true),
      avifEncoder: async () => null, // browsers have none
    },
  );
}
