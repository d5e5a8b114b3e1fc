/** Read the arrays of an `.npz` file, as `numpy.savez` writes it: a zip archive without compression. */

import { FormatError } from "../errors.js";

export interface NumpyArray {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int8Array | Uint32Array;
}

const TYPES = { "<f4": Float32Array, "|i1": Int8Array, "<u4": Uint32Array };
const END_RECORD = 0x06054b50;
const CENTRAL_ENTRY = 0x02014b50;

/** @throws FormatError if the file is anything else */
export function readNpz(data: Uint8Array): Map<string, NumpyArray> {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const end = data.length - 22;
  if (end < 0 || view.getUint32(end, true) !== END_RECORD) throw new FormatError("not an .npz file");
  const arrays = new Map<string, NumpyArray>();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(at, true) !== CENTRAL_ENTRY || view.getUint16(at + 10, true) !== 0) {
      throw new FormatError("the .npz file is compressed or damaged");
    }
    const size = view.getUint32(at + 24, true);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((i) => view.getUint16(at + i, true));
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const name = new TextDecoder().decode(data.subarray(at + 46, at + 46 + nameLength));
    arrays.set(name.replace(/\.npy$/, ""), readNpy(data.subarray(start, start + size)));
    at += 46 + nameLength + extraLength + commentLength;
  }
  return arrays;
}

function readNpy(data: Uint8Array): NumpyArray {
  const version = data[6];
  const lengthBytes = version === 1 ? 2 : 4;
  const length = data[8] | (data[9] << 8);
  const header = new TextDecoder().decode(data.subarray(8 + lengthBytes, 8 + lengthBytes + length));
  const type = TYPES[/'descr': '([^']*)'/.exec(header)?.[1] as keyof typeof TYPES];
  const sides = /'shape': \(([^)]*)\)/.exec(header)?.[1];
  if (!type || sides === undefined || !header.includes("'fortran_order': False")) {
    throw new FormatError(`unexpected array in an .npz file: ${header.trim()}`);
  }
  const shape = sides.split(",").filter((side) => side.trim()).map(Number);
  const body = data.slice(8 + lengthBytes + length); // aligned
  return { shape, data: new type(body.buffer) };
}
