/** Patches: an image as the rectangles that differ from an earlier image. docs/format.md specifies the file. */

import { paste, plane } from "./codec/planes.js";
import type { Pixels } from "./codec/still.js";
import { FormatError, InputError, LimitError, TruncatedError } from "./errors.js";
import { hex, sha256 } from "./format/checks.js";
import { readFile, readHeader, readKind, type CotamFile } from "./format/header.js";
import { readVarint } from "./format/varint.js";

/** Patches from one whole image on, each based on the one before. */
const MAX_DEPTH = 8;
const MAX_RECTANGLES = 64;

/** A still and the place of its upper left corner. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly still: Uint8Array;
}

export interface Patch {
  readonly width: number;
  readonly height: number;
  /** SHA-256 of the file of the earlier image, in hexadecimal. */
  readonly base: string;
  readonly depth: number;
  readonly rectangles: readonly Rectangle[];
}

/** Read a patch; its stills are not decoded. @throws FormatError, LimitError if it says what cannot be */
export function readPatch({ header, payload }: CotamFile): Patch {
  const { width, height } = header;
  if (payload.length < 33) throw new TruncatedError("the patch ends within the name of its base");
  const depth = payload[32];
  let [count, at] = readVarint(payload, 33, "number of rectangles");
  if (depth < 1 || depth > MAX_DEPTH || count > MAX_RECTANGLES) {
    throw new FormatError(
      `impossible patch: ${count} rectangles, number ${depth} of its chain: at most ${MAX_RECTANGLES} ` +
        `and ${MAX_DEPTH} are allowed`,
    );
  }
  const places = [];
  for (; count > 0; count--) {
    let left: number, top: number, length: number;
    [left, at] = readVarint(payload, at, "rectangle");
    [top, at] = readVarint(payload, at, "rectangle");
    [length, at] = readVarint(payload, at, "rectangle");
    places.push({ left, top, length });
  }
  const rectangles = places.map(({ left, top, length }) => ({ left, top, still: payload.subarray(at, (at += length)) }));
  if (payload.length !== at) {
    throw new FormatError(`the payload of the patch has ${payload.length} bytes: its rectangles say ${at}`);
  }
  checkRectangles(rectangles, width, height);
  return { width, height, base: hex(payload.subarray(0, 32)), depth, rectangles };
}

/**
 * Decode an image's earlier image and stills and put them together.
 *
 * @param earlier files, among which the patch's base is looked for by its hash
 * @throws InputError if the base is not among them, or is a chain of patches that does not end
 * @throws FormatError if pixels are left open, or the depths of patch and base do not fit
 */
export async function pastePatch(
  patch: Patch,
  earlier: readonly Uint8Array[],
  decode: (file: Uint8Array) => Promise<Pixels>,
): Promise<Pixels> {
  const base = earlier.find((file) => hex(sha256(file)) === patch.base);
  if (!base) {
    throw new InputError(`the file is a patch of the image with SHA-256 ${patch.base}: pass its file as earlier`);
  }
  const depth = readKind(base) === "patch" ? readPatch(readFile(base)).depth : 0;
  if (patch.depth !== depth + 1) {
    throw new FormatError(`the patch is number ${patch.depth} of its chain, its base has another number`);
  }
  const below = await decode(base);
  const size = { height: patch.height, width: 3 * patch.width };
  const pixels = plane(new Uint8Array(size.height * size.width), 1, size);
  const open = plane(new Uint8Array(patch.height * patch.width).fill(1), 1, patch);
  const put = (image: Pixels, left: number, top: number): void => {
    const [right, bottom] = [Math.min(left + image.width / 3, patch.width), Math.min(top + image.height, patch.height)];
    paste(image, [0, 0], pixels, [top, bottom], [3 * left, 3 * right]);
    for (let row = top; row < bottom; row++) open.data.fill(0, row * patch.width + left, row * patch.width + right);
  };
  put(below, 0, 0);
  for (const { left, top, still } of patch.rectangles) put(await decode(still), left, top);
  const left = open.data.reduce((sum, one) => sum + one, 0);
  if (left) {
    throw new FormatError(
      `the patch makes ${patch.width}×${patch.height} pixels of ${below.width / 3}×${below.height} and leaves ${left} of them open`,
    );
  }
  return pixels;
}

function checkRectangles(rectangles: readonly Rectangle[], width: number, height: number): void {
  let total = 0;
  for (const { left, top, still } of rectangles) {
    const header = readHeader(still);
    if (!["learned", "av1", "lossless"].includes(header.kind)) {
      throw new FormatError("a rectangle of the patch is not a still image");
    }
    if (left + header.width > width || top + header.height > height) {
      throw new FormatError(
        `a rectangle of ${header.width}×${header.height} at (${left}, ${top}) is beyond the ` +
          `${width}×${height} pixels of the patch`,
      );
    }
    total += header.width * header.height;
  }
  if (total > 2 * width * height) {
    throw new LimitError(`the rectangles have ${total} pixels: more than twice those of the image`);
  }
}
