/** Rectangles: stills pasted over an image, in patches and in frames of screens. docs/format.md specifies the bytes. */

import { FormatError, LimitError } from "../errors.js";
import { readHeader } from "./header.js";
import { readVarint } from "./varint.js";

const MAX_RECTANGLES = 64;

/** A still and the place of its upper left corner. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly still: Uint8Array;
}

/** Read the rectangles of an image; their stills are not decoded. @throws FormatError, LimitError if they cannot be */
export function readRectangles(data: Uint8Array, width: number, height: number): Rectangle[] {
  let [count, at] = readVarint(data, 0, "number of rectangles");
  if (count > MAX_RECTANGLES) {
    throw new FormatError(`there are ${count} rectangles: at most ${MAX_RECTANGLES} are allowed`);
  }
  const places = [];
  for (; count > 0; count--) {
    let left: number, top: number, length: number;
    [left, at] = readVarint(data, at, "rectangle");
    [top, at] = readVarint(data, at, "rectangle");
    [length, at] = readVarint(data, at, "rectangle");
    places.push({ left, top, length });
  }
  const rectangles = places.map(({ left, top, length }) => ({ left, top, still: data.subarray(at, (at += length)) }));
  if (data.length !== at) {
    throw new FormatError(`the rectangles take ${at} bytes by their lengths: there are ${data.length}`);
  }
  check(rectangles, width, height);
  return rectangles;
}

function check(rectangles: readonly Rectangle[], width: number, height: number): void {
  let total = 0;
  for (const { left, top, still } of rectangles) {
    const header = readHeader(still);
    if (!["learned", "av1", "lossless"].includes(header.kind)) throw new FormatError("a rectangle is not a still image");
    if (left + header.width > width || top + header.height > height) {
      throw new FormatError(
        `a rectangle of ${header.width}×${header.height} at (${left}, ${top}) is beyond ` +
          `the ${width}×${height} pixels of the image`,
      );
    }
    total += header.width * header.height;
  }
  if (total > 2 * width * height) {
    throw new LimitError(`the rectangles have ${total} pixels: more than twice those of the image`);
  }
}
