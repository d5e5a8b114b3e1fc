/** JPEG files that not all readers show as they are. */

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

/** The file with an end marker, after some data. Zeros that take the place of its end are left out. */
export function withEnd(file: Uint8Array, data: readonly number[] = []): Uint8Array<ArrayBuffer> {
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
export function withOtherEnd(file: Uint8Array): Uint8Array<ArrayBuffer> {
  const data = new Array<number>(4096).fill(0x55);
  const restarts = Array.from({ length: 8 }, (_, i) => [0xff, 0xd0 + i, ...data]); // whichever comes next
  return withEnd(file, [...data, ...restarts.flat()]);
}
