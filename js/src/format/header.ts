/** The file around a payload: magic, header and metadata boxes. docs/format.md specifies the bytes. */

import { DamagedError, FormatError, InputError, LimitError, NotCotamError, TruncatedError } from "../errors.js";
import { crc16, crc32 } from "./checks.js";
import { readBoxes, type Metadata } from "./metadata.js";
import { readVarint, varint } from "./varint.js";

export const MAGIC = Uint8Array.of(0x89, 0x43, 0x54, 0x4d, 0x0d, 0x0a, 0x1a, 0x0a);
export const VERSION = 3;
export const MAX_QUALITY = 100;
/** Pixels of a side. */
export const MAX_SIDE = 2 ** 20;
/** Larger images are refused. */
export const MAX_PIXELS = 200_000_000;
/** A header and a payload's length have fewer bytes. */
export const HEADER_BYTES = 64;

const FLAG = 0x80;

/** What the payload of a file is. */
export type Kind = "learned" | "av1" | "lossless" | "sequence" | "patch";
const KINDS: readonly Kind[] = ["learned", "av1", "lossless", "sequence", "patch"];

/** The fields in front of a payload. */
export interface Header {
  readonly kind: Kind;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** 0 … 100. */
  readonly quality: number;
  /** First two bytes of the weight set's hash in hexadecimal; empty for kinds without weights. */
  readonly weights: string;
  /** The payload of a learned still has a gain offset map. */
  readonly hasLevels: boolean;
}

/** A header that was read, and where things are. */
export interface ParsedHeader extends Header {
  readonly checksum: number;
  readonly hasMetadata: boolean;
  readonly payloadStart: number;
  readonly payloadLength: number;
}

/** A parsed file of any kind but a sequence. */
export interface CotamFile {
  readonly header: ParsedHeader;
  readonly payload: Uint8Array;
  readonly metadata: readonly Metadata[];
}

/** The bytes that checksums cover: every field that changes what the payload means. */
export function headerFields(header: Header): Uint8Array {
  const weights = header.weights.match(/../g) ?? [];
  return Uint8Array.from([
    VERSION | (KINDS.indexOf(header.kind) << 4),
    header.quality | (header.hasLevels ? FLAG : 0),
    ...weights.map((pair) => parseInt(pair, 16)),
    ...varint(header.width),
    ...varint(header.height),
  ]);
}

/** The bytes of a file of a kind with a payload length. */
export function writeFile(header: Header, payload: Uint8Array, checksum: number): Uint8Array {
  const head = [...MAGIC, ...headerFields(header), ...varint(payload.length), ...littleEndian(checksum, 4)];
  const start = [...head, ...littleEndian(crc16(Uint8Array.from(head)), 2)];
  const out = new Uint8Array(start.length + payload.length);
  out.set(start);
  out.set(payload, start.length);
  return out;
}

export function littleEndian(value: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (value >>> (8 * i)) & 0xff);
}

export function readUint32(data: Uint8Array, at: number): number {
  return (data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24)) >>> 0;
}

/** @throws InputError if `data` are not bytes */
export function requireBytes(data: unknown): Uint8Array {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new InputError(`expected the bytes of a .cotam file, got ${data === null ? "null" : typeof data}`);
}

/** @throws LimitError if an image is too large to be decoded */
export function checkSize(width: number, height: number): void {
  if (width * height > MAX_PIXELS) {
    const limit = MAX_PIXELS / 1e6;
    throw new LimitError(`the image has ${width}×${height} pixels, more than the limit of ${limit} MP`);
  }
}

/**
 * The kind of a file, from its first nine bytes.
 *
 * @throws NotCotamError, TruncatedError, FormatError if this release cannot read it
 */
export function readKind(data: Uint8Array): Kind {
  if (MAGIC.some((byte, i) => i < data.length && data[i] !== byte)) {
    throw new NotCotamError("not a .cotam file: the magic bytes are missing");
  }
  if (data.length <= MAGIC.length) throw endsWithinHeader(data);
  const version = data[MAGIC.length] & 0x0f;
  const number = (data[MAGIC.length] >> 4) & 0x07;
  if (version === 1 || version === 2) {
    throw new FormatError(`format version ${version} was never released: encode the image again`);
  }
  if (version !== VERSION) {
    throw new FormatError(`format version ${version} is unknown, this release reads ${VERSION}: upgrade cotam`);
  }
  if (!KINDS[number]) throw new FormatError(`files of kind ${number} are unknown to this release: upgrade cotam`);
  return KINDS[number];
}

/**
 * Parse the header of a file of any kind.
 *
 * @throws NotCotamError, TruncatedError, DamagedError, FormatError if it is not valid; the message names the field
 */
export function readHeader(data: Uint8Array): ParsedHeader {
  const kind = readKind(data);
  if (data.length < MAGIC.length + 4) throw endsWithinHeader(data);
  let at = MAGIC.length + 2;
  let weights = "";
  if (kind === "learned" || kind === "sequence") {
    weights = Array.from(data.subarray(at, at + 2), (byte) => byte.toString(16).padStart(2, "0")).join("");
    at += 2;
  }
  let width: number, height: number;
  let payloadLength = 0;
  let checksum = 0;
  [width, at] = readVarint(data, at, "width");
  [height, at] = readVarint(data, at, "height");
  if (kind !== "sequence") {
    [payloadLength, at] = readVarint(data, at, "payload length");
    checksum = readUint32(data, at);
    at += 4;
  }
  if (data.length < at + 2) throw endsWithinHeader(data);
  if (crc16(data.subarray(0, at)) !== (data[at] | (data[at + 1] << 8))) {
    throw new DamagedError("the header is damaged: its checksum does not match");
  }
  const header = {
    kind,
    width,
    height,
    quality: data[MAGIC.length + 1] & 0x7f,
    weights,
    hasLevels: (data[MAGIC.length + 1] & FLAG) > 0,
    checksum,
    hasMetadata: (data[MAGIC.length] & FLAG) > 0,
    payloadStart: at + 2,
    payloadLength,
  };
  checkFields(header);
  return header;
}

function checkFields({ kind, width, height, quality, hasLevels, hasMetadata }: ParsedHeader): void {
  const isSize = (side: number): boolean => side > 0 && side <= MAX_SIDE;
  if (!isSize(width) || !isSize(height) || quality > MAX_QUALITY) {
    throw new FormatError(`impossible header: ${width}×${height} pixels at quality ${quality}`);
  }
  if ((hasLevels && kind !== "learned") || (hasMetadata && kind === "sequence")) {
    throw new FormatError(`impossible header: a flag is set that kind ${kind} does not have`);
  }
}

function endsWithinHeader(data: Uint8Array): TruncatedError {
  if (!data.length) return new TruncatedError("the file is empty");
  return new TruncatedError(`the file ends within its header, after ${data.length} bytes`);
}

/**
 * Parse a whole file of any kind but a sequence; the payload is not decoded.
 *
 * @throws NotCotamError, TruncatedError, DamagedError, FormatError if the file is not valid, or goes on after its end
 */
export function readFile(data: Uint8Array): CotamFile {
  const header = readHeader(data);
  if (header.kind === "sequence") {
    throw new FormatError("this is a sequence of frames: read it with decodeFrames");
  }
  const end = header.payloadStart + header.payloadLength;
  if (data.length < end) {
    throw new TruncatedError(`the file ends after ${data.length} of at least ${end} bytes`);
  }
  const [metadata, after] = header.hasMetadata ? readBoxes(data, end) : [[], end];
  if (data.length > after) throw new FormatError(`${data.length - after} bytes after the end of the file`);
  const payload = data.subarray(header.payloadStart, end);
  if (header.kind !== "learned" && crc32(payload, crc32(headerFields(header))) !== header.checksum) {
    throw new DamagedError("the payload is damaged: its checksum does not match");
  }
  return { header, payload, metadata };
}
