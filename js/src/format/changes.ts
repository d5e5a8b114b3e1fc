/** What makes an image of an earlier one, in patches and in frames of screens. docs/format.md specifies the bytes. */

import { FormatError, LimitError } from "../errors.js";
import { readHeader, readKind } from "./header.js";
import { readVarint } from "./varint.js";

/** Of copies, and of rectangles. */
const MAX_COUNT = 64;

/** An area of pixels that is copied from the earlier image. */
export interface Copy {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly fromLeft: number;
  readonly fromTop: number;
}

/** A still and the place of its upper left corner. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly still: Uint8Array;
}

/** Copies, then stills that are pasted over them, both in order. */
export interface Changes {
  readonly copies: readonly Copy[];
  readonly rectangles: readonly Rectangle[];
}

/** Read the changes that make an image of this size. @throws FormatError, LimitError if they say what cannot be */
export function readChanges(data: Uint8Array, width: number, height: number): Changes {
  const [copied, afterCopies] = readTable(data, 0, 6, "copies");
  const copies = copied.map(([left, top, across, down, fromLeft, fromTop]) => ({
    ...{ left, top, fromLeft, fromTop },
    width: across,
    height: down,
  }));
  const [pasted, afterRows] = readTable(data, afterCopies, 3, "rectangles");
  let at = afterRows;
  const rectangles = pasted.map(([left, top, length]) => ({ left, top, still: data.subarray(at, (at += length)) }));
  if (data.length !== at) {
    throw new FormatError(`the changes take ${at} bytes by their lengths: there are ${data.length}`);
  }
  check(copies, width, height);
  check(rectangles.map(place), width, height);
  return { copies, rectangles };
}

/** Read a number of rows, and the numbers in each; return them and where they end. */
function readTable(data: Uint8Array, start: number, columns: number, noun: string): [number[][], number] {
  let [count, at] = readVarint(data, start, `number of ${noun}`);
  if (count > MAX_COUNT) throw new FormatError(`there are ${count} ${noun}: at most ${MAX_COUNT} are allowed`);
  const rows = [];
  for (; count > 0; count--) {
    const row = [];
    for (let column = 0; column < columns; column++) {
      let number: number;
      [number, at] = readVarint(data, at, noun);
      row.push(number);
    }
    rows.push(row);
  }
  return [rows, at];
}

type Place = Pick<Copy, "left" | "top" | "width" | "height">;

function place({ left, top, still }: Rectangle): Place {
  if (!isStill(still)) throw new FormatError("a rectangle is not a still image");
  const { width, height } = readHeader(still);
  return { left, top, width, height };
}

function isStill(file: Uint8Array): boolean {
  try {
    return ["learned", "av1", "lossless"].includes(readKind(file));
  } catch {
    return false; // no file, or one of an unknown kind
  }
}

function check(places: readonly Place[], width: number, height: number): void {
  for (const one of places) {
    if (one.left + one.width > width || one.top + one.height > height) {
      throw new FormatError(
        `an area of ${one.width}×${one.height} at (${one.left}, ${one.top}) is beyond the ${width}×${height} pixels of the image`,
      );
    }
  }
  const total = places.reduce((sum, one) => sum + one.width * one.height, 0);
  if (total > 2 * width * height) {
    throw new LimitError(`the areas have ${total} pixels: more than twice those of the image`);
  }
}
