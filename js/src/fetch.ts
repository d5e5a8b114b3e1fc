/**
 * `fetch` for the TypeScript clients of OpenAI, Anthropic and Gemini, with the images of requests in fewer bytes: as
 * `.cotam` toward a gateway, or sized for the model toward an API that reads standard files only.
 */

import { encode } from "./api.js";
import { InputError } from "./errors.js";
import { defaultCodec, fromBase64, kindOf, toBase64, type Codec, type Format } from "./fetch/files.js";
import { imagesOf, type ImagePart } from "./fetch/parts.js";
import type { RawImage } from "./image/pixels.js";
import { fileBytes, findModel, fitSize, type Model } from "./models.js";
import { checkChoice, checkQuality, checkTargetSize, shown } from "./options.js";

export type { Codec, Format } from "./fetch/files.js";

export interface FetchOptions {
  /**
   * The model whose size images get: "auto", the default, is the one that the request names, "none" keeps sizes. A
   * request for a model that is unknown keeps sizes, too.
   */
  readonly for?: string | undefined;
  /** Sends the request. Default `globalThis.fetch`. */
  readonly fetch?: typeof fetch | undefined;
  /** Reads and writes image files. Default: the browser's own, or in Node the package sharp. */
  readonly codec?: Codec | undefined;
  /** Is told of an image that passes as it is, because it cannot be read. Default: a warning on the console. */
  readonly onWarning?: ((error: unknown) => void) | undefined;
}

export interface GatewayOptions extends FetchOptions {
  /** 0 … 100, as for `encode`. */
  readonly quality?: number | undefined;
  /** Bytes of a file, as for `encode`. */
  readonly targetSize?: number | undefined;
  /** What the gateway asks for, beside the key of the model's API. */
  readonly token?: string | undefined;
}

export interface HostedOptions extends FetchOptions {
  /** Of files that are written anew. Default "jpeg"; a PNG stays PNG where that is smaller. */
  readonly format?: Format | undefined;
  /** 0 … 1, of JPEG and WebP. Default 0.9. */
  readonly quality?: number | undefined;
}

/** A file that takes the place of an image; null where the image stays as it is. */
type Replacement = { readonly type: string; readonly base64: string } | null;

/** What becomes of one image of a request. */
type Replace = (part: ImagePart, request: Request) => Promise<Replacement>;

interface Request {
  readonly model: Model | undefined;
  /** As the request or the options name it, with a level of detail, if any. */
  readonly name: string;
  /** In the request, earlier turns included. */
  readonly images: number;
  readonly signal: AbortSignal | undefined;
}

const COTAM = "image/vnd.cotam";
/** Characters of images, and of what became of them, that are kept: each turn of a chat sends all earlier images. */
const KEPT = 64_000_000;
/** Tried one after the other where a file is too large for an API: parts of the quality and of the sides. */
const STEPS = [
  [1, 1],
  [0.9, 1],
  [0.75, 1],
  [0.6, 1],
  [0.6, 0.7],
  [0.6, 0.5],
  [0.6, 0.35],
  [0.6, 0.25],
] as const;

/**
 * `fetch` that sends images as `.cotam` to `cotam serve`.
 *
 *     new OpenAI({ baseURL: "http://localhost:8400/v1", fetch: gatewayFetch({ quality: 40 }) });
 *
 * An image that would grow, or cannot be read, passes as it is.
 */
export function gatewayFetch(options: GatewayOptions = {}): typeof fetch {
  const { quality, targetSize, token } = options;
  if (quality !== undefined) checkQuality(quality);
  checkTargetSize(targetSize);
  return wrapped(options, token ? { "X-Cotam-Token": token } : {}, async (part, { model, name, signal }) => {
    if (part.type === COTAM) return null;
    const file = fromBase64(part.base64);
    // Browsers decode in the worker.
    const inWorker = !options.codec && typeof OffscreenCanvas !== "undefined";
    const image: Blob | RawImage = inWorker ? new Blob([file]) : await (options.codec ?? (await defaultCodec())).decode(file);
    const detail = detailOf(part, model);
    const settings = { quality, targetSize, signal, for: model && (detail ? `${name}:${detail}` : name) };
    const base64 = toBase64(await encode(image, settings));
    return base64.length + COTAM.length < part.base64.length + part.type.length ? { type: COTAM, base64 } : null;
  });
}

/**
 * `fetch` that brings images to the size that the model sees, upright, and within formats and bytes of its API.
 *
 *     new Anthropic({ fetch: hostedFetch() });
 *
 * What is so already, or cannot be read, passes as it is. What becomes of an image depends on the image, the model, and
 * whether there are more images than the API takes at full size: prompt caches stay warm from turn to turn.
 */
export function hostedFetch(options: HostedOptions = {}): typeof fetch {
  const { format = "jpeg", quality = 0.9 } = options;
  checkChoice("format", format, ["jpeg", "webp", "png"]);
  if (!(quality >= 0 && quality <= 1)) throw new InputError(`quality must be a number from 0 to 1, got ${shown(quality)}`);
  return wrapped(options, {}, async (part, { model, name, images }) => {
    const file = fromBase64(part.base64);
    const kind = kindOf(file);
    const formats = model?.formats ?? ["jpeg", "png", "webp", "gif"];
    const limit = (model && fileBytes(model.limits)) ?? Infinity;
    const codec = options.codec ?? (await defaultCodec());
    const image = await codec.decode(file);
    const size = model ? fitSize(name, image.width, image.height, { detail: part.detail, images }) : image;
    const allowed = kind.isAsShown && formats.includes(kind.format) && file.length <= limit && fits(image, model, images);
    if (allowed && size.width === image.width && size.height === image.height) {
      return part.type === `image/${kind.format}` ? null : { type: `image/${kind.format}`, base64: part.base64 };
    }
    const others = [format, "jpeg" as const].filter((one) => formats.includes(one));
    const wanted: Format[] = kind.format === "png" ? ["png", others[0] ?? "png"] : [others[0] ?? "png"];
    const given = kind.format === "jpeg" && !allowed ? file.length : Infinity;
    const made = await smallest(codec, image, size, wanted, quality, limit, given);
    if (allowed && made.bytes.length >= file.length) return null; // a smaller image, but not fewer bytes
    return { type: `image/${kindOf(made.bytes).format || made.format}`, base64: toBase64(made.bytes) };
  });
}

/** Whether an API takes an image of this size. */
function fits({ width, height }: RawImage, model: Model | undefined, images: number): boolean {
  const { side, many_images: many, many_side: manySide, patches } = model?.limits ?? {};
  const limit = (many !== undefined && images > many ? manySide : side) ?? Infinity;
  if (Math.max(width, height) > limit) return false;
  return !patches || Math.ceil(width / patches.size) * Math.ceil(height / patches.size) <= patches.count;
}

/**
 * The smallest file in one of the formats, at the first step that is within the limit. A JPEG that grows beyond the
 * given one gets a lower quality, not fewer pixels.
 */
async function smallest(
  codec: Codec,
  image: RawImage,
  { width, height }: { width: number; height: number },
  formats: readonly Format[],
  quality: number,
  limit: number,
  given: number,
): Promise<{ format: Format; bytes: Uint8Array }> {
  for (const [step, [part, scale]] of STEPS.entries()) {
    const size = [width, height].map((side) => Math.max(1, Math.round(side * scale))) as [number, number];
    const files = [];
    for (const format of formats) {
      files.push({ format, bytes: await codec.encode(image, ...size, format, quality * part) });
    }
    const best = files.reduce((one, other) => (other.bytes.length < one.bytes.length ? other : one));
    const grows = best.format === "jpeg" && best.bytes.length > given && STEPS[step + 1]?.[1] === scale;
    if (best.bytes.length <= limit && !grows) return best;
  }
  throw new InputError(`no file of the image has at most ${limit} bytes`);
}

/** The level of detail that a part asks for, if the model knows it. */
function detailOf({ detail }: ImagePart, model: Model | undefined): string {
  return detail && detail !== "auto" && model?.details.includes(detail) ? detail : "";
}

function wrapped(options: FetchOptions, headers: Record<string, string>, replace: Replace): typeof fetch {
  const { for: given = "auto" } = options;
  if (given !== "auto" && given !== "none") fitSize(given, 1, 1); // throws for an unknown name, with the nearest
  const kept = new Kept();
  const send = options.fetch ?? ((...given) => globalThis.fetch(...given));
  const warn = options.onWarning ?? ((error) => console.warn(`cotam: an image passes as it is: ${error}`));
  return async (input, init) => {
    const all = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    for (const [name, value] of Object.entries(headers)) all.set(name, value);
    const isJson = input instanceof Request && all.get("content-type")?.includes("json");
    const text = isJson && !init?.body ? await input.clone().text() : init?.body;
    const body = typeof text === "string" ? await new Response(text).json().catch(() => undefined) : undefined;
    const parts = imagesOf(body);
    const path = input instanceof Request ? input.url : String(input);
    const request = requestOf(body, path, parts.length, options, init?.signal ?? (input as Partial<Request>).signal);
    let changed = false;
    for (const part of parts) {
      const replacement = await kept.get(part, request, () => replace(part, request)).catch((error: unknown) => {
        request.signal?.throwIfAborted();
        warn(error);
        return null;
      });
      if (!replacement) continue;
      part.replace(replacement.type, replacement.base64);
      changed = true;
    }
    if (changed) all.delete("content-length");
    return send(input, { ...init, headers: all, ...(changed && { body: JSON.stringify(body) }) });
  };
}

function requestOf(body: unknown, path: string, images: number, options: FetchOptions, signal: AbortSignal | undefined): Request {
  const given = options.for ?? "auto";
  const inPath = /\/models\/([^/?]+?)(?::|%3A)/i.exec(path)?.[1]; // Gemini's
  const named = given === "auto" ? ((body as { model?: unknown } | null | undefined)?.model ?? inPath) : given;
  const name = given === "none" || typeof named !== "string" ? "" : named;
  const model = findModel(name);
  return { model, name, images, signal };
}

/** What became of the images seen last. */
class Kept {
  readonly #known = new Map<string, Replacement>();
  #characters = 0;

  async get(part: ImagePart, { model, name, images }: Request, make: () => Promise<Replacement>): Promise<Replacement> {
    const many = model?.limits.many_images;
    const key = [name, detailOf(part, model), many !== undefined && images > many, part.type, part.base64].join(" ");
    const found = this.#known.get(key);
    const value = found === undefined ? await make() : found;
    if (!this.#known.delete(key)) this.#characters += size(key, value);
    this.#known.set(key, value); // the last one is the newest
    for (const [old, kept] of this.#known) {
      if (this.#characters <= KEPT) break;
      this.#known.delete(old);
      this.#characters -= size(old, kept);
    }
    return value;
  }
}

function size(key: string, value: Replacement): number {
  return key.length + (value?.base64.length ?? 0);
}
