/** JPEG files that not all readers show as they are. */

import { InputError } from "../errors.js";

const END = Uint8Array.of(0xff, 0xd9);

/** Whether a file is in CMYK, which some readers show as a negative, and whether it has its end marker. */
export function jpegTraits(file: Uint8Array): { readonly isCmyk: boolean; readonly hasEnd: boolean } {
  let isCmyk = false;
  for (let at = nextMarker(file, 2); at >= 0; ) {
    const kind = file[at + 1];
    if (kind === END[1]) return { isCmyk, hasEnd: true };
    const isFrame = kind >= 0xc0 && kind <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(kind);
    if (isFrame) isCmyk = file[at + 9] === 4; // components
    at = nextMarker(file, at + 2 + ((file[at + 2] << 8) | file[at + 3]));
  }
  return { isCmyk, hasEnd: file.at(-2) === END[0] && file.at(-1) === END[1] };
}

/** The place of a marker that a segment follows, or of the end marker; -1 if there is none. */
function nextMarker(file: Uint8Array, from: number): number {
  let at = file.indexOf(END[0], from);
  while (at >= 0) {
    const kind = file[at + 1];
    if (kind === undefined) return -1;
    const isAlone = kind <= 0x01 || (kind >= 0xd0 && kind <= 0xd8) || kind === 0xff;
    if (!isAlone) return at;
    at = file.indexOf(END[0], at + 1);
  }
  return -1;
}

/**
 * Decode an image file. A JPEG without its end marker gets one; decoders fill in pixels that it lacks.
 *
 * @param decode is told whether the file is one that must be whole
 * @throws InputError if pixels are missing
 */
export async function decodeCompleted<Image extends { readonly data: Uint8Array | Uint8ClampedArray }>(
  file: Uint8Array<ArrayBuffer>,
  decode: (file: Uint8Array<ArrayBuffer>, isWhole: boolean) => Promise<Image>,
): Promise<Image> {
  const isJpeg = file[0] === 0xff && file[1] === 0xd8;
  if (!isJpeg || jpegTraits(file).hasEnd) return decode(file, true);
  const [image, other] = await Promise.all([decode(withEnd(file), true), decode(withOtherEnd(file), false)]);
  if (image.data.some((sample, i) => sample !== other.data[i])) throw new InputError("the file is cut: it lacks pixels");
  return image;
}

/** The file with an end marker, after some data. Zeros that take the place of its end are left out. */
function withEnd(file: Uint8Array, data: readonly number[] = []): Uint8Array<ArrayBuffer> {
  let length = file.length;
  while (file[length - 1] === 0) length--;
  length = Math.min(length + 2, file.length); // a zero follows each byte 0xff of the data, and data may end in one
  while (file[length - 1] === END[0]) length--; // half a marker
  const whole = new Uint8Array(length + data.length + END.length);
  whole.set(file.subarray(0, length));
  whole.set([...data, ...END], length);
  return whole;
}

/** The file with other data before the end marker: a decoder that fills in missing pixels shows others then. */
function withOtherEnd(file: Uint8Array): Uint8Array<ArrayBuffer> {
  const data = new Array<number>(4096).fill(0x55);
  const restarts = Array.from({ length: 8 }, (_, i) => [0xff, 0xd0 + i, ...data]); // whichever comes next
  return withEnd(file, [...data, ...restarts.flat()]);
}
