/** The public functions: encode, decode and inspect images. */

import { run } from "./client.js";
import type { View } from "./codec/still.js";
import { InputError } from "./errors.js";
import { checkSize, readFile, readHeader, requireBytes, type Kind } from "./format/header.js";
import type { Profile } from "./guide/content.js";
import type { Metadata } from "./format/metadata.js";
import { readSequence } from "./format/sequence.js";
import type { Browsers, RawImage, WorkerImage } from "./image/pixels.js";
import { checkChoice, checkQuality, checkTargetSize, shown } from "./options.js";
import type { Decoded, DecodedFrame, Progress } from "./protocol.js";

const PROFILES: readonly Profile[] = ["mllm", "page"];

/** An image: of the browser, or pixels in RGBA. Files (`Blob`) are decoded by the browser; Node has no decoder. */
export type ImageSource = Browsers<"ImageBitmap"> | Browsers<"ImageData"> | Browsers<"HTMLImageElement"> | Blob | RawImage;

export interface EncodeOptions {
  /** 0 … 100, about 0.05 to 1.6 bits per pixel on photographs. Default 50. */
  readonly quality?: number | undefined;
  /** Bytes: the highest quality that fits is used; if none does, the image is shrunk. */
  readonly targetSize?: number | undefined;
  /** Name of a model: the image is shrunk to what the model sees. */
  readonly for?: string | undefined;
  /**
   * Weight set: "mllm" for photographs, "page" for pages. "auto", the default, is "page" for what is mostly text, else
   * "mllm"; and flat graphics become AV1 where there is an encoder.
   */
  readonly profile?: Profile | "auto" | undefined;
  /** Where bits are spent: "none" is evenly; "auto", the default, is more where there is text, with the set "mllm". */
  readonly guide?: "auto" | "none" | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DecodeOptions {
  /** For vision encoders ("mllm", the default) or for people ("human"). */
  readonly view?: View | undefined;
  /** Of a patch: the files of the earlier images that it is based on, in any order. */
  readonly earlier?: readonly Uint8Array[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface LoadOptions {
  /** The set of this package that is loaded, with the guide. Default "mllm". */
  readonly profile?: Profile | undefined;
  /**
   * URL of the folder of another weight set, with `manifest.json`. If it is loaded before any other is used, it
   * encodes what has the profile "auto".
   */
  readonly weights?: string | URL | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a file says about itself. */
export interface Info {
  readonly kind: Kind;
  readonly width: number;
  readonly height: number;
  /** 0 … 100. */
  readonly quality: number;
  /** First two bytes of the weight set's hash, in hexadecimal; empty for kinds without weights. */
  readonly weights: string;
  /** Size of the whole file. */
  readonly bytes: number;
  /** Bits per pixel of the whole file; of a sequence, of all its frames. */
  readonly bpp: number;
  /** The file has a gain offset map. */
  readonly hasLevels: boolean;
  readonly metadata: readonly Metadata[];
  /** Frames of a sequence, else 1. */
  readonly frames: number;
  /** Of a sequence: time of the last frame in seconds, else 0. */
  readonly duration: number;
}

/**
 * Encode an image to a whole `.cotam` file.
 *
 * Transparent pixels lie on white. The work is done in a worker.
 *
 * @throws InputError, TargetSizeError if the image or an option cannot be encoded
 */
export async function encode(image: ImageSource, options: EncodeOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const { quality = 50, targetSize, for: model, profile = "auto", guide = "auto", signal } = options;
  checkQuality(quality);
  checkTargetSize(targetSize);
  if (model !== undefined && typeof model !== "string") {
    throw new InputError(`for must be the name of a model, got ${shown(model)}`);
  }
  checkChoice("profile", profile, ["auto", ...PROFILES]);
  checkChoice("guide", guide, ["auto", "none"]);
  signal?.throwIfAborted();
  const [given, transfer] = await forWorker(image);
  return run("encode", { image: given, job: { quality, targetSize, model, profile, guide } }, { signal, transfer });
}

/**
 * Decode a `.cotam` file to pixels in RGBA; a sequence gives its first frame.
 *
 * @throws FormatError if the file is not valid: NotCotamError, TruncatedError or DamagedError
 * @throws LimitError, UnknownWeightsError, MissingCodecError if the file is too large, or what it needs is not there
 */
export async function decode(bytes: Uint8Array | ArrayBuffer, options: DecodeOptions = {}): Promise<Decoded> {
  const { view = "mllm", earlier = [], signal } = options;
  const file = checked(bytes, view);
  return run("decode", { file, view, earlier: earlier.map((one) => alone(requireBytes(one))) }, { signal });
}

/** Decode the frames of a sequence in order. @throws as `decode` */
export async function* decodeFrames(
  bytes: Uint8Array | ArrayBuffer,
  options: Omit<DecodeOptions, "earlier"> = {},
): AsyncGenerator<DecodedFrame, void, undefined> {
  const { view = "mllm", signal } = options;
  const sequence = await run("openFrames", { file: checked(bytes, view), view }, { signal });
  try {
    for (;;) {
      const frame = await run("nextFrame", { sequence }, { signal });
      if (!frame) return;
      yield frame;
    }
  } finally {
    await run("closeFrames", { sequence });
  }
}

/** Inspect a file without decoding it, and without any model. @throws FormatError if it is not valid */
export function info(bytes: Uint8Array | ArrayBuffer): Info {
  const data = requireBytes(bytes);
  const { kind, width, height, quality, weights, hasLevels } = readHeader(data);
  const common = { kind, width, height, quality, weights, bytes: data.length, hasLevels };
  if (kind === "sequence") {
    const entries = [...readSequence(data).frames];
    const frames = entries.length;
    const bpp = (8 * data.length) / (width * height * frames);
    return { ...common, bpp, metadata: [], frames, duration: entries.at(-1)?.time ?? 0 };
  }
  const { metadata } = readFile(data);
  return { ...common, bpp: (8 * data.length) / (width * height), metadata, frames: 1, duration: 0 };
}

/**
 * Fetch the run time and all of a weight set before they are needed.
 *
 * @throws UnknownWeightsError if they are not those of the manifest
 */
export async function load(options: LoadOptions = {}): Promise<void> {
  const { profile = "mllm", weights, onProgress, signal } = options;
  checkChoice("profile", profile, PROFILES);
  const given = weights === undefined ? profile : { url: absolute(weights) };
  return run("load", { weights: given }, { signal, onProgress });
}

function absolute(url: string | URL): string {
  try {
    return new URL(url, globalThis.location?.href).href;
  } catch {
    throw new InputError(`weights must be the URL of a folder, got ${shown(url)}`);
  }
}

/** Bytes of a file of a size that may be decoded. */
function checked(bytes: Uint8Array | ArrayBuffer, view: View): Uint8Array {
  checkChoice("view", view, ["mllm", "human"]);
  const data = requireBytes(bytes);
  const { width, height } = readHeader(data);
  checkSize(width, height);
  return alone(data);
}

/** Data in a buffer of their own: a view crosses to the worker with all of its buffer. */
function alone(data: Uint8Array): Uint8Array {
  return data.byteLength === data.buffer.byteLength ? data : data.slice();
}

async function forWorker(image: ImageSource): Promise<[WorkerImage, Transferable[]]> {
  const isElement = typeof HTMLImageElement !== "undefined" && image instanceof HTMLImageElement;
  if (isElement) {
    await image.decode().catch((error: Error) => {
      throw new InputError(`the image element cannot be decoded: ${error.message}`);
    });
  }
  const isWide = typeof ImageData !== "undefined" && image instanceof ImageData && image.colorSpace === "display-p3";
  if (isElement || isWide) { // a canvas converts the colours of a bitmap
    const bitmap = await createImageBitmap(image);
    return [bitmap, [bitmap]];
  }
  if (image instanceof Blob) return [image, []];
  if (typeof ImageBitmap !== "undefined" && image instanceof ImageBitmap) return [image, []];
  const { data, width, height } = (image ?? {}) as RawImage;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new InputError("expected an ImageBitmap, ImageData, Blob, HTMLImageElement or { data, width, height }");
  }
  return [{ data: alone(requireBytes(data)), width, height }, []]; // a Buffer's own slice would be a view
}
