/** The checksums of the format: CRC-32 (zlib), CRC-16 (CCITT) and SHA-256. */

const CRC32 = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

const CRC16 = new Uint16Array(256).map((_, byte) => {
  let value = byte << 8;
  for (let bit = 0; bit < 8; bit++) value = value & 0x8000 ? 0x1021 ^ (value << 1) : value << 1;
  return value;
});

/** Continue the CRC-32 `start` over the bytes of any array, in the order in which they lie in memory. */
export function crc32(data: ArrayBufferView, start = 0): number {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let value = ~start;
  for (let i = 0; i < bytes.length; i++) value = CRC32[(value ^ bytes[i]) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

/** CRC-16, polynomial 0x1021, start 0xFFFF. */
export function crc16(data: Uint8Array): number {
  let value = 0xffff;
  for (const byte of data) value = (CRC16[(value >> 8) ^ byte] ^ (value << 8)) & 0xffff;
  return value;
}

const PRIMES = Array.from({ length: 311 }, (_, i) => i + 2).filter((n) => {
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
});
const fraction = (x: number): number => ((x - Math.floor(x)) * 2 ** 32) | 0;
const ROUND_CONSTANTS = Int32Array.from(PRIMES.slice(0, 64), (prime) => fraction(Math.cbrt(prime)));
const START = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const turn = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

/** SHA-256. The browser's own is there on secure origins only, and weights must be checked on all. */
export function sha256(data: Uint8Array): Uint8Array {
  const state = Int32Array.from(START);
  const words = new Int32Array(64);
  const whole = data.length & ~63;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  for (let at = 0; at < whole; at += 64) compress(state, words, view, at);
  const rest = data.length - whole;
  const tail = new Uint8Array(rest < 56 ? 64 : 128);
  tail.set(data.subarray(whole));
  tail[rest] = 0x80;
  const last = new DataView(tail.buffer);
  last.setUint32(tail.length - 8, Math.floor(data.length / 2 ** 29));
  last.setUint32(tail.length - 4, (data.length << 3) >>> 0);
  for (let at = 0; at < tail.length; at += 64) compress(state, words, last, at);
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => out.setInt32(4 * i, word));
  return new Uint8Array(out.buffer);
}

function compress(state: Int32Array, words: Int32Array, view: DataView, at: number): void {
  for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const early = words[i - 15];
    const late = words[i - 2];
    const small = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
    const large = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
    words[i] = (words[i - 16] + small + words[i - 7] + large) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const sum = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const first = (h + sum + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[i] + words[i]) | 0;
    const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i] + word) | 0));
}

/** Bytes in hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
