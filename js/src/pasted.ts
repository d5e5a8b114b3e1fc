/** Paste stills over an earlier image: patches and frames of screens. */

import { paste, plane } from "./codec/planes.js";
import type { Pixels } from "./codec/still.js";
import { DamagedError, FormatError } from "./errors.js";
import { crc32 } from "./format/checks.js";
import { readRectangles, type Rectangle } from "./format/rectangles.js";
import type { CodedFrame } from "./format/sequence.js";

export type DecodeStill = (file: Uint8Array) => Promise<Pixels>;

/**
 * Decode rectangles and paste them over an image, which lies in the upper left corner and is cropped.
 *
 * @throws FormatError if neither base nor rectangles cover a pixel
 */
export async function pasteRectangles(
  base: Pixels | null,
  rectangles: readonly Rectangle[],
  width: number,
  height: number,
  decode: DecodeStill,
): Promise<Pixels> {
  const size = { height, width: 3 * width };
  const pixels = plane(new Uint8Array(size.height * size.width), 1, size);
  const open = new Uint8Array(height * width).fill(1);
  const put = (image: Pixels, left: number, top: number): void => {
    const [right, bottom] = [Math.min(left + image.width / 3, width), Math.min(top + image.height, height)];
    paste(image, [0, 0], pixels, [top, bottom], [3 * left, 3 * right]);
    for (let row = top; row < bottom; row++) open.fill(0, row * width + left, row * width + right);
  };
  if (base) put(base, 0, 0);
  for (const { left, top, still } of rectangles) put(await decode(still), left, top);
  const left = open.reduce((sum, one) => sum + one, 0);
  if (left) {
    const below = base ? `${base.width / 3}×${base.height}` : "0×0";
    throw new FormatError(`rectangles on ${below} pixels leave ${left} of ${width}×${height} open`);
  }
  return pixels;
}

/** Decodes a group of frames in order, each as the areas that differ from the frame before. */
export class PastedDecoder {
  private pixels: Pixels | null = null;
  private check = 0;

  constructor(
    private readonly width: number,
    private readonly height: number,
    private readonly decodeStill: DecodeStill,
  ) {}

  /** @throws DamagedError if the frame, or the frame before it, is not the one that was written */
  async decode(frame: CodedFrame): Promise<Pixels> {
    const key = (frame.flags & 1) > 0;
    const fields = Uint8Array.from([...frame.fields, frame.flags]);
    this.check = crc32(frame.payload, crc32(fields, key ? 0 : this.check));
    if (this.check !== frame.checksum) throw new DamagedError("the checksum of its rectangles does not match");
    const rectangles = readRectangles(frame.payload, this.width, this.height);
    const base = key ? null : this.pixels;
    this.pixels = await pasteRectangles(base, rectangles, this.width, this.height, this.decodeStill);
    return this.pixels;
  }
}
