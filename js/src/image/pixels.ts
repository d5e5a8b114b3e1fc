/** Images as callers have them → pixels on a white background. */

import { plane } from "../codec/planes.js";
import type { Pixels } from "../codec/still.js";
import { InputError, LimitError, MissingCodecError } from "../errors.js";
import { checkSize, MAX_SIDE } from "../format/header.js";
import { decodeCompleted } from "./jpeg.js";
import { uprightBitmap } from "./orientation.js";

/** Pixels in RGBA, not premultiplied, as in `ImageData`. */
export interface RawImage {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** A class of browsers; `never` where TypeScript has none of this name, as in programs for Node. */
export type Browsers<Name extends string> = typeof globalThis extends Record<Name, { prototype: infer Type }> ? Type : never;
type Bitmap = Browsers<"ImageBitmap">;

/** An image in a form that crosses to a worker. */
export type WorkerImage = RawImage | Blob | Bitmap;

/** @throws InputError, LimitError if it is not an image that can be encoded */
export async function toPixels(image: WorkerImage): Promise<Pixels> {
  if (image instanceof Blob) {
    const file = new Uint8Array(await image.arrayBuffer());
    return decodeCompleted(file, async (one) => fromBitmap(await decodeBlob(new Blob([one], { type: image.type })), true));
  }
  if (typeof ImageBitmap !== "undefined" && image instanceof ImageBitmap) return fromBitmap(image, false);
  return fromRaw(image as RawImage);
}

/** Pixels with an alpha channel, all opaque. */
export function toRgba({ data, width, height }: Pixels): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray((width / 3) * height * 4);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    out[to] = data[from];
    out[to + 1] = data[from + 1];
    out[to + 2] = data[from + 2];
    out[to + 3] = 255;
  }
  return out;
}

/** Decode an image file, upright, with the browser's own decoders. @throws InputError, MissingCodecError if it cannot */
export async function decodeBlob(blob: Blob): Promise<Bitmap> {
  if (typeof createImageBitmap === "undefined") {
    throw new MissingCodecError(
      "there is no decoder of image files here: decode the file first (with sharp, for example), " +
        "and pass { data, width, height } in RGBA",
    );
  }
  try {
    return await uprightBitmap(blob);
  } catch (error) {
    throw new InputError(`the image file (${blob.type || "of no type"}, ${blob.size} bytes) cannot be decoded`, {
      cause: error,
    });
  }
}

/** Pixels of a bitmap, on white. */
export function fromBitmap(bitmap: Bitmap, close: boolean): Pixels {
  const { width, height } = bitmap;
  checkSides(width, height);
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) throw new LimitError(`this browser has no canvas of ${width}×${height} pixels`);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  if (close) bitmap.close();
  return fromRaw(context.getImageData(0, 0, width, height));
}

function fromRaw({ data, width, height }: RawImage): Pixels {
  checkSides(width, height);
  if (data.length !== 4 * width * height) {
    const expected = 4 * width * height;
    throw new InputError(`an image of ${width}×${height} pixels in RGBA has ${expected} bytes, got ${data.length}`);
  }
  const out = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < out.length; from += 4, to += 3) {
    const alpha = data[from + 3];
    for (let channel = 0; channel < 3; channel++) {
      out[to + channel] = alpha === 255 ? data[from + channel] : onWhite(data[from + channel], alpha);
    }
  }
  return plane(out, 1, { height, width: 3 * width });
}

/** As Pillow pastes with a mask. */
function onWhite(value: number, alpha: number): number {
  const sum = value * alpha + 255 * (255 - alpha) + 128;
  return ((sum >> 8) + sum) >> 8;
}

function checkSides(width: number, height: number): void {
  const isSide = (side: number): boolean => Number.isInteger(side) && side >= 1 && side <= MAX_SIDE;
  if (!isSide(width) || !isSide(height)) {
    throw new InputError(`sides must be 1 to ${MAX_SIDE} pixels, got ${width}×${height}`);
  }
  checkSize(width, height);
}
