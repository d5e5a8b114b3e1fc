/** Fit an image into a number of bytes, with fewer pixels where it does not fit at any quality. */

import { TargetSizeError } from "../errors.js";
import { shrink } from "../image/resize.js";
import type { Pixels } from "./still.js";

/** A shrunk image would have this part of the budget at quality 0: so it gets one at which text can be read. */
const SHRUNK_FOR = 2;

/** @throws TargetSizeError if no size of the image fits */
export async function shrunkWithin(
  whole: Pixels,
  target: number,
  encode: (pixels: Pixels, target: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  let pixels = whole;
  for (;;) {
    const count = (pixels.height * pixels.width) / 3;
    try {
      return await encode(pixels, target);
    } catch (error) {
      if (!(error instanceof TargetSizeError) || count === 1) throw error;
      const share = target / error.smallest / SHRUNK_FOR;
      const most = Math.max(1, Math.min(Math.floor(count * share), Math.floor((count * 3) / 4)));
      const { width, height } = sizeWithin(whole.width / 3, whole.height, most);
      pixels = shrink(whole, width, height);
    }
  }
}

/** The size of these proportions with so many pixels, at most. */
function sizeWithin(width: number, height: number, most: number): { width: number; height: number } {
  if (width * height <= most) return { width, height };
  const scale = Math.sqrt(most / (width * height));
  const size = { width: Math.max(1, Math.floor(width * scale)), height: Math.max(1, Math.floor(height * scale)) };
  if (size.width * size.height <= most) return size;
  return { width: Math.min(size.width, most), height: Math.min(size.height, most) }; // one side was already 1
}
