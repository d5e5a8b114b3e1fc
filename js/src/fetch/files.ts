/** Files of images: base64, format, orientation; and files made of pixels by a canvas, or by sharp in Node. */

import { InputError, MissingCodecError } from "../errors.js";
import { decodeCompleted, jpegTraits } from "../image/jpeg.js";
import { orientationOf, uprightBitmap } from "../image/orientation.js";
import type { RawImage } from "../image/pixels.js";
import { isAnimated } from "./animation.js";

/** Formats that a canvas and sharp write. */
export type Format = "jpeg" | "webp" | "png";

/** Reads and writes files of images. */
export interface Codec {
  /** Upright pixels of a file. */
  decode(file: Uint8Array<ArrayBuffer>): Promise<RawImage>;
  /** A file of these pixels at another size; `quality` is 0 … 1, and nothing to PNG. */
  encode(image: RawImage, width: number, height: number, format: Format, quality: number): Promise<Uint8Array>;
}

/** What is known of a file without its pixels. */
export interface FileKind {
  /** One of those that APIs list, "avif", or "" for all others. */
  readonly format: string;
  /** Whether all readers show it as it is stored: still, upright, and a JPEG neither in CMYK nor without its end. */
  readonly isAsShown: boolean;
}

export function kindOf(file: Uint8Array): FileKind {
  const format = formatOf(file);
  const { isCmyk, hasEnd } = format === "jpeg" ? jpegTraits(file) : { isCmyk: false, hasEnd: true };
  const isAsShown = orientationOf(file) === 1 && !isCmyk && hasEnd && !isAnimated(file, format);
  return { format, isAsShown };
}

function formatOf(file: Uint8Array): string {
  const at = (place: number, text: string) => [...text].every((one, i) => file[place + i] === one.charCodeAt(0));
  if (at(0, "\xff\xd8\xff")) return "jpeg";
  if (at(0, "\x89PNG\r\n\x1a\n")) return "png";
  if (at(0, "RIFF") && at(8, "WEBP")) return "webp";
  if (at(0, "GIF8")) return "gif";
  return at(4, "ftypavi") ? "avif" : "";
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const plain = text.replace(/\s+/g, "").replaceAll("-", "+").replaceAll("_", "/");
  const letters = atob(plain);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

export function toBase64(bytes: Uint8Array): string {
  const pieces: string[] = [];
  for (let start = 0; start < bytes.length; start += 0x6000) {
    pieces.push(String.fromCharCode(...bytes.subarray(start, start + 0x6000)));
  }
  return btoa(pieces.join(""));
}

/** The browser's own codec, or sharp where that is installed. */
export async function defaultCodec(): Promise<Codec> {
  if (typeof OffscreenCanvas !== "undefined") return canvas;
  const name = "sharp"; // bundlers need not find it
  try {
    return sharpCodec((await import(/* @vite-ignore */ /* webpackIgnore: true */ name)).default as Sharp);
  } catch {
    throw new MissingCodecError("there is no codec for image files here: npm install sharp, or pass the option codec");
  }
}

const canvas: Codec = {
  decode: (file) => decodeCompleted(file, drawn),

  async encode(image, width, height, format, quality) {
    const whole = contextOf(image.width, image.height);
    whole.putImageData(new ImageData(new Uint8ClampedArray(image.data), image.width, image.height), 0, 0);
    const context = contextOf(width, height);
    if (format === "jpeg") {
      context.fillStyle = "#fff"; // JPEG has no transparency
      context.fillRect(0, 0, width, height);
    }
    context.imageSmoothingQuality = "high";
    context.drawImage(whole.canvas, 0, 0, width, height);
    const blob = await context.canvas.convertToBlob({ type: `image/${format}`, quality });
    return new Uint8Array(await blob.arrayBuffer());
  },
};

async function drawn(file: Uint8Array<ArrayBuffer>): Promise<RawImage> {
  const bitmap = await uprightBitmap(new Blob([file])).catch(() => {
    throw new InputError("the browser cannot decode the image");
  });
  const { width, height } = bitmap;
  const context = contextOf(width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

function contextOf(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) throw new InputError(`there is no canvas for ${width} × ${height} pixels`);
  return context;
}

type Sharp = (file: Uint8Array, options?: object) => any;

function sharpCodec(sharp: Sharp): Codec {
  const read = async (file: Uint8Array, isWhole: boolean): Promise<RawImage> => {
    const { data, info } = await sharp(file, { failOn: isWhole ? "warning" : "none" })
      .rotate()
      .toColourspace("srgb")
      .ensureAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true })
      .catch((error: Error) => {
        throw new InputError(`sharp cannot decode the image: ${error.message.replace(/\s+/g, " ")}`);
      });
    return { data: new Uint8Array(data), width: info.width, height: info.height };
  };
  return {
    decode: (file) => decodeCompleted(file, read),
    async encode({ data, width: fullWidth, height: fullHeight }, width, height, format, quality) {
      const raw = { width: fullWidth, height: fullHeight, channels: 4 };
      let image = sharp(new Uint8Array(data), { raw });
      if (format === "jpeg") image = image.flatten({ background: "#fff" });
      if (width !== fullWidth || height !== fullHeight) image = image.resize(width, height, { fit: "fill" });
      const options = format === "png" ? {} : { quality: Math.round(100 * quality) };
      return new Uint8Array(await image.toFormat(format, options).toBuffer());
    },
  };
}
