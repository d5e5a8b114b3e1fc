/** The transforms of a VP8L bitstream, undone (RFC 9649, section 4). Pixels are alpha, red, green, blue. */

/** Pixels of an image, and its columns. */
export interface Argb {
  readonly pixels: Uint32Array;
  readonly width: number;
}

export type Transform = (image: Argb) => Argb;

/** Colours are added byte by byte. */
function add(a: number, b: number): number {
  const agreen = (a & 0xff00ff00) >>> 0;
  const red = (a & 0x00ff00ff) + (b & 0x00ff00ff);
  return ((((agreen + ((b & 0xff00ff00) >>> 0)) & 0xff00ff00) | (red & 0x00ff00ff)) >>> 0);
}

export const addGreen: Transform = ({ pixels, width }) => {
  for (let i = 0; i < pixels.length; i++) {
    const green = (pixels[i] >> 8) & 0xff;
    pixels[i] = add(pixels[i], (green << 16) | green);
  }
  return { pixels, width };
};

const signed = (byte: number): number => (byte << 24) >> 24;

/** @param bits of the side of a block; `elements` has one for each block */
export function addColours(bits: number, elements: Argb): Transform {
  return ({ pixels, width }) => {
    for (let i = 0; i < pixels.length; i++) {
      const x = i % width;
      const y = (i - x) / width;
      const element = elements.pixels[(y >> bits) * elements.width + (x >> bits)];
      const value = pixels[i];
      const green = signed(value >> 8);
      const red = ((value >> 16) + ((signed(element) * green) >> 5)) & 0xff;
      const blue = value + ((signed(element >> 8) * green) >> 5) + ((signed(element >> 16) * signed(red)) >> 5);
      pixels[i] = ((value & 0xff00ff00) | (red << 16) | (blue & 0xff)) >>> 0;
    }
    return { pixels, width };
  };
}

/** @param columns of the image; several pixels of few colours share a green byte */
export function lookUp(colours: Uint32Array, bits: number, columns: number): Transform {
  return ({ pixels, width }) => {
    const height = pixels.length / width;
    const out = new Uint32Array(columns * height);
    const each = 8 >> bits;
    const mask = (1 << each) - 1;
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < columns; x++, at++) {
        const green = (pixels[y * width + (x >> bits)] >> 8) & 0xff;
        out[at] = colours[(green >> (each * (x & ((1 << bits) - 1)))) & mask] ?? 0;
      }
    }
    return { pixels: out, width: columns };
  };
}

/** @param bits of the side of a block; the green byte of `modes` is the predictor of each block */
export function addPredictions(bits: number, modes: Argb): Transform {
  return ({ pixels, width }) => {
    pixels[0] = add(pixels[0], 0xff000000);
    for (let i = 1; i < pixels.length; i++) {
      const x = i % width;
      const y = (i - x) / width;
      let predicted: number;
      if (y === 0) predicted = pixels[i - 1];
      else if (x === 0) predicted = pixels[i - width];
      else {
        const mode = (modes.pixels[(y >> bits) * modes.width + (x >> bits)] >> 8) & 0xf;
        predicted = predict(mode, pixels, i, width);
      }
      pixels[i] = add(pixels[i], predicted);
    }
    return { pixels, width };
  };
}

function predict(mode: number, pixels: Uint32Array, i: number, width: number): number {
  const left = pixels[i - 1];
  const topLeft = pixels[i - width - 1];
  const top = pixels[i - width];
  const topRight = pixels[i - width + 1];
  switch (mode) {
    case 1:
      return left;
    case 2:
      return top;
    case 3:
      return topRight;
    case 4:
      return topLeft;
    case 5:
      return mean(mean(left, topRight), top);
    case 6:
      return mean(left, topLeft);
    case 7:
      return mean(left, top);
    case 8:
      return mean(topLeft, top);
    case 9:
      return mean(top, topRight);
    case 10:
      return mean(mean(left, topLeft), mean(top, topRight));
    case 11:
      return select(left, top, topLeft);
    case 12:
      return perByte((shift) => clamp(byte(left, shift) + byte(top, shift) - byte(topLeft, shift)));
    case 13: {
      const middle = mean(left, top);
      return perByte((shift) => {
        const value = byte(middle, shift);
        return clamp(value + Math.trunc((value - byte(topLeft, shift)) / 2));
      });
    }
    default:
      return 0xff000000;
  }
}

const SHIFTS = [0, 8, 16, 24];
const byte = (value: number, shift: number): number => (value >>> shift) & 0xff;
const clamp = (value: number): number => Math.min(Math.max(value, 0), 255);

function perByte(found: (shift: number) => number): number {
  return SHIFTS.reduce((all, shift) => all | (found(shift) << shift), 0) >>> 0;
}

function mean(a: number, b: number): number {
  return ((((a ^ b) & 0xfefefefe) >>> 1) + ((a & b) >>> 0)) >>> 0;
}

/** The neighbour that is nearer to left + top − top left. */
function select(left: number, top: number, topLeft: number): number {
  let toLeft = 0;
  let toTop = 0;
  for (const shift of SHIFTS) {
    toLeft += Math.abs(byte(top, shift) - byte(topLeft, shift));
    toTop += Math.abs(byte(left, shift) - byte(topLeft, shift));
  }
  return toLeft < toTop ? left : top;
}
