/** The worker of Node. */

import { readFile } from "node:fs/promises";
import { parentPort, type TransferListItem } from "node:worker_threads";
import { avifEncoder, decodeAvif } from "./avif_node.js";
import type { ReadUrl } from "./codec/weights.js";
import { CotamError } from "./errors.js";
import { serve } from "./serve.js";

const read: ReadUrl = async (url, onBytes) => {
  const data = await (url.startsWith("file:") ? readFile(new URL(url)) : fetched(url)).catch((error: Error) => {
    throw new CotamError(`${url} cannot be read: ${error.message}`);
  });
  onBytes(data.length, data.length);
  return new Uint8Array(data);
};

async function fetched(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

const port = parentPort!;

serve(
  {
    send: (message, transfer = []) => port.postMessage(message, transfer as TransferListItem[]),
    listen: (onMessage) => port.on("message", onMessage),
  },
  { read, decodeAvif, avifEncoder },
);
