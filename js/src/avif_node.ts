/** Decode AVIF files in Node with the optional package @jsquash/avif. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Pixels } from "./codec/still.js";
import { DamagedError, MissingCodecError } from "./errors.js";
import { toPixels, type RawImage } from "./image/pixels.js";

type Decode = (file: ArrayBuffer) => Promise<RawImage>;

let decoder: Promise<Decode> | undefined;

/** @throws MissingCodecError, DamagedError if the package is not installed, or cannot decode the file */
export async function decodeAvif(file: Uint8Array<ArrayBuffer>): Promise<Pixels> {
  decoder ??= start();
  const decode = await decoder;
  try {
    return await toPixels(await decode(file.buffer));
  } catch (error) {
    // A WebAssembly module that failed may be in any state.
    decoder = undefined;
    throw new DamagedError(`the AV1 image is damaged: ${error instanceof Error ? error.message : error}`);
  }
}

async function start(): Promise<Decode> {
  // The decoder makes an object of this class, which Node does not have.
  Object.assign(globalThis, {
    ImageData: class implements RawImage {
      constructor(
        readonly data: Uint8ClampedArray,
        readonly width: number,
        readonly height: number,
      ) {}
    },
  });
  const name = "@jsquash/avif";
  try {
    const { default: decode, init } = await import(`${name}/decode.js`);
    const binary = await readFile(createRequire(import.meta.url).resolve(`${name}/codec/dec/avif_dec.wasm`));
    await init(await WebAssembly.compile(binary));
    return decode;
  } catch (error) {
    decoder = undefined;
    throw new MissingCodecError("Node has no decoder of AV1 images: npm install @jsquash/avif", { cause: error });
  }
}
