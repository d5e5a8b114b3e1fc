/** Apply changes to an earlier image, in patches and in frames of screens. */

import { paste, plane } from "./codec/planes.js";
import type { Pixels } from "./codec/still.js";
import { DamagedError, FormatError } from "./errors.js";
import { crc32 } from "./format/checks.js";
import { readChanges, type Changes } from "./format/changes.js";
import type { CodedFrame } from "./format/sequence.js";

export type DecodeStill = (file: Uint8Array) => Promise<Pixels>;

/**
 * Decode changes and apply them to an image, which lies in the upper left corner and is cropped.
 *
 * @throws FormatError if a pixel stays open, or a copy reads beyond the base
 */
export async function pasteChanges(
  base: Pixels,
  { copies, rectangles }: Changes,
  width: number,
  height: number,
  decode: DecodeStill,
): Promise<Pixels> {
  const size = { height, width: 3 * width };
  const pixels = plane(new Uint8Array(size.height * size.width), 1, size);
  const open = new Uint8Array(height * width).fill(1);
  const put = (image: Pixels, from: [number, number], top: number, left: number, down: number, across: number): void => {
    const [bottom, right] = [Math.min(top + down, height), Math.min(left + across, width)];
    paste(image, from, pixels, [top, bottom], [3 * left, 3 * right]);
    for (let row = top; row < bottom; row++) open.fill(0, row * width + left, row * width + right);
  };
  put(base, [0, 0], 0, 0, base.height, base.width / 3);
  for (const one of copies) {
    if (one.fromTop + one.height > base.height || 3 * (one.fromLeft + one.width) > base.width) {
      throw new FormatError(
        `a copy of ${one.width}×${one.height} pixels at (${one.fromLeft}, ${one.fromTop}) reads ` +
          `beyond the ${base.width / 3}×${base.height} pixels of the earlier image`,
      );
    }
    put(base, [one.fromTop, 3 * one.fromLeft], one.top, one.left, one.height, one.width);
  }
  for (const { left, top, still } of rectangles) {
    const image = await decode(still);
    put(image, [0, 0], top, left, image.height, image.width / 3);
  }
  const left = open.reduce((sum, one) => sum + one, 0);
  if (left) {
    throw new FormatError(`changes of ${base.width / 3}×${base.height} pixels leave ${left} of ${width}×${height} open`);
  }
  return pixels;
}

const NOTHING: Pixels = plane(new Uint8Array(0), 1, { height: 0, width: 0 });

/** Decodes a group of frames in order, each as the areas that differ from the frame before. */
export class PastedDecoder {
  private pixels = NOTHING;
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
    if (this.check !== frame.checksum) throw new DamagedError("the checksum of its changes does not match");
    const changes = readChanges(frame.payload, this.width, this.height);
    this.pixels = await pasteChanges(key ? NOTHING : this.pixels, changes, this.width, this.height, this.decodeStill);
    return this.pixels;
  }
}
