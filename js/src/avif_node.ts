/** Decode and encode AVIF files in Node with the optional package @jsquash/avif. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Pixels } from "./codec/still.js";
import { DamagedError, MissingCodecError } from "./errors.js";
import { toPixels, toRgba, type RawImage } from "./image/pixels.js";

const PACKAGE = "@jsquash/avif";
const ENCODING = { speed: 6, subsample: 1, tune: 2 }; // 4:2:0, for structural similarity

type Decode = (file: ArrayBuffer) => Promise<RawImage>;
type Encode = (image: RawImage, options: Readonly<Record<string, number>>) => Promise<ArrayBuffer>;

let decoder: Promise<Decode> | undefined;
let encoder: Promise<Encode | null> | undefined;

/** @throws MissingCodecError, DamagedError if the package is not installed, or cannot decode the file */
export async function decodeAvif(file: Uint8Array<ArrayBuffer>): Promise<Pixels> {
  decoder ??= start<Decode>("decode.js", "codec/dec/avif_dec.wasm");
  const decode = await decoder.catch((error: unknown) => {
    decoder = undefined;
    throw new MissingCodecError(`Node has no decoder of AV1 images: npm install ${PACKAGE}`, { cause: error });
  });
  try {
    return await toPixels(await decode(file.buffer));
  } catch (error) {
    decoder = undefined; // a WebAssembly module that failed may be in any state
    throw new DamagedError(`the AV1 image is damaged: ${error instanceof Error ? error.message : error}`);
  }
}

/** Encodes pixels at AVIF's quality; null if the package is not installed. */
export async function avifEncoder(): Promise<((pixels: Pixels, quality: number) => Promise<Uint8Array>) | null> {
  encoder ??= start<Encode>("encode.js", "codec/enc/avif_enc.wasm").catch(() => null);
  const encode = await encoder;
  if (!encode) return null;
  return async (pixels, quality) => {
    const image = { data: toRgba(pixels), width: pixels.width / 3, height: pixels.height };
    return new Uint8Array(await encode(image, { ...ENCODING, quality }));
  };
}

async function start<Job>(script: string, binary: string): Promise<Job> {
  // The decoder makes an object of this class, which Node does not have.
  Object.assign(globalThis, {
    ImageData: class implements RawImage {
      constructor(readonly data: Uint8ClampedArray, readonly width: number, readonly height: number) {}
    },
  });
  const { default: job, init } = await import(`${PACKAGE}/${script}`);
  const bytes = await readFile(createRequire(import.meta.url).resolve(`${PACKAGE}/${binary}`));
  await init(await WebAssembly.compile(bytes));
  return job;
}
