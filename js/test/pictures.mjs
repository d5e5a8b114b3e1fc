// Images for tests, made from a seed, and how far two are apart. Runs in Node and in pages.

export function toRgba(rgb) {
  const data = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length; i++) data[Math.floor(i / 3) * 4 + (i % 3)] = rgb[i];
  return { data };
}

/** Largest and mean difference of RGBA to RGB. */
export function difference(rgba, rgb) {
  if (rgba.length / 4 !== rgb.length / 3) throw new Error(`${rgba.length / 4} pixels, not ${rgb.length / 3}`);
  let largest = 0;
  let sum = 0;
  for (let i = 0; i < rgb.length; i++) {
    const off = Math.abs(rgba[Math.floor(i / 3) * 4 + (i % 3)] - rgb[i]);
    largest = Math.max(largest, off);
    sum += off;
  }
  return { largest, mean: sum / rgb.length };
}

/** A smooth, noisy image in RGBA. */
export function picture(width, height, seed = 1) {
  const random = randomFrom(seed);
  const waves = Array.from({ length: 9 }, () => [random() / 9, random() / 9, 7 * random(), 30 * random()]);
  const data = new Uint8ClampedArray(4 * width * height);
  for (let at = 0; at < data.length; at++) {
    const [x, y, channel] = [(at >> 2) % width, Math.floor((at >> 2) / width), at & 3];
    let value = 128 + 8 * random();
    for (const [a, b, c, size] of waves) value += size * Math.sin(a * x + b * y + c + channel / 3);
    data[at] = channel === 3 ? 255 : value;
  }
  return { data, width, height };
}

/** Numbers 0 … 1 from a seed (mulberry32). */
export function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
