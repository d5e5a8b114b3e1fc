/** The EXIF orientation of JPEG, PNG and WebP files. */

/** "Exif" */
const EXIF = 0x45786966;
const TAG = 0x0112;

/** The tag in a file. */
interface Tag {
  /** 1 … 8, see `TURNS`. */
  readonly value: number;
  /** Where its two bytes are. */
  readonly at: number;
  readonly little: boolean;
  /** The chunk that holds it. */
  readonly start: number;
  readonly end: number;
}

/** From stored pixels, scaled to sides of 1, to upright ones: a, b, c, d, e, f as of `setTransform`. */
const TURNS: Record<number, readonly [number, number, number, number, number, number]> = {
  1: [1, 0, 0, 1, 0, 0],
  2: [-1, 0, 0, 1, 1, 0],
  3: [-1, 0, 0, -1, 1, 1],
  4: [1, 0, 0, -1, 0, 1],
  5: [0, 1, 1, 0, 0, 0],
  6: [0, 1, -1, 0, 1, 0],
  7: [0, -1, -1, 0, 1, 1],
  8: [0, -1, 1, 0, 0, 1],
};

/** Orientation 1 … 8 of a JPEG, PNG or WebP file; 1 where it says none. */
export function orientationOf(file: Uint8Array): number {
  return tagOf(file)?.value ?? 1;
}

/** Decode an image file, upright. Browsers turn JPEG files, but not all of them PNG and WebP. */
export async function uprightBitmap(blob: Blob): Promise<ImageBitmap> {
  const [first] = new Uint8Array(await blob.slice(0, 1).arrayBuffer());
  if (first !== 0x89 && first !== 0x52) return createImageBitmap(blob);
  const file = new Uint8Array(await blob.arrayBuffer());
  const tag = tagOf(file);
  if (!tag || tag.value === 1) return createImageBitmap(blob);
  const stored = await createImageBitmap(new Blob(withoutTag(file, tag), { type: blob.type }));
  const [width, height] = tag.value < 5 ? [stored.width, stored.height] : [stored.height, stored.width];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error(`there is no canvas for ${width} × ${height} pixels`);
  const [a, b, c, d, e, f] = TURNS[tag.value]!;
  context.setTransform(a, b, c, d, e * width, f * height);
  context.drawImage(stored, 0, 0);
  stored.close();
  return canvas.transferToImageBitmap();
}

/** Parts of the file, of which browsers do not turn the pixels. */
function withoutTag(file: Uint8Array<ArrayBuffer>, { at, little, start, end }: Tag): Uint8Array<ArrayBuffer>[] {
  if (file[0] === 0x89) return [file.subarray(0, start), file.subarray(end)]; // its checksum would be wrong
  const changed = file.slice();
  new DataView(changed.buffer).setUint16(at, 1, little);
  return [changed];
}

function tagOf(file: Uint8Array): Tag | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file[0] === 0xff) return jpegTag(view);
  return file[0] === 0x89 ? pngTag(view) : file[0] === 0x52 ? webpTag(view) : undefined;
}

function jpegTag(view: DataView): Tag | undefined {
  let at = 2;
  while (at + 18 < view.byteLength && view.getUint8(at) === 0xff) {
    const kind = view.getUint8(at + 1);
    const end = at + 2 + view.getUint16(at + 2);
    if (kind === 0xe1 && view.getUint32(at + 4) === EXIF) return tagIn(view, at + 10, at, end);
    if (kind === 0xda) break; // pixels
    at = end;
  }
  return undefined;
}

/** In the chunk eXIf. */
function pngTag(view: DataView): Tag | undefined {
  let at = 8;
  while (at + 22 < view.byteLength) {
    const end = at + 12 + view.getUint32(at);
    if (view.getUint32(at + 4) === 0x65584966) return tagIn(view, at + 8, at, end);
    at = end;
  }
  return undefined;
}

/** In the chunk EXIF, which some begin as in a JPEG file. */
function webpTag(view: DataView): Tag | undefined {
  let at = 12;
  while (at + 22 < view.byteLength) {
    const size = view.getUint32(at + 4, true);
    const end = at + 8 + size + (size % 2);
    if (view.getUint32(at) === 0x45584946) {
      return tagIn(view, at + 8 + (view.getUint32(at + 8) === EXIF ? 6 : 0), at, end);
    }
    at = end;
  }
  return undefined;
}

/** In a TIFF structure that begins at `from`. */
function tagIn(view: DataView, from: number, start: number, end: number): Tag | undefined {
  const little = view.getUint16(from) === 0x4949;
  const last = Math.min(end, view.byteLength) - 12;
  const directory = from + view.getUint32(from + 4, little);
  if (directory > last) return undefined;
  const count = view.getUint16(directory, little);
  for (let entry = directory + 2; entry <= Math.min(last, directory + 2 + 12 * (count - 1)); entry += 12) {
    if (view.getUint16(entry, little) !== TAG) continue;
    const value = view.getUint16(entry + 8, little);
    return TURNS[value] && { value, at: entry + 8, little, start, end };
  }
  return undefined;
}
