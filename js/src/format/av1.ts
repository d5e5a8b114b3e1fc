/** AV1 still images: a payload is checked, and gets the container of an AVIF file back. */

import { FormatError, TruncatedError } from "../errors.js";

const SEQUENCE_HEADER = 1;
const TEMPORAL_DELIMITER = 2;
const FRAME = 6;
const HAS_SIZE = 0x02;
/** Colour of images whose sequence header does not describe it; libavif 1.3 leaves this one out. */
const SRGB: readonly [number, number, number] = [1, 13, 6];
const NAMES: Readonly<Record<number, string>> = { 1: "sequence header", 2: "temporal delimiter", 6: "frame" };

/** The fields of an AV1 sequence header that a container repeats. */
export interface SequenceHeader {
  readonly width: number;
  readonly height: number;
  /** 0 (4:2:0 and 4:0:0) or 1 (4:4:4). */
  readonly profile: number;
  readonly level: number;
  readonly monochrome: boolean;
  readonly chromaPosition: number;
  /** Colour primaries, transfer characteristics and matrix coefficients (ITU-T H.273). */
  readonly colour: readonly [number, number, number];
  readonly fullRange: boolean;
}

interface Obu {
  readonly whole: Uint8Array;
  readonly body: Uint8Array;
}

/**
 * The payload of an AVIF file with one opaque still image, as libavif writes it.
 *
 * @throws FormatError if the file is anything else
 */
export function stripContainer(avif: Uint8Array): Uint8Array {
  const bodies = new Map<string, Uint8Array>();
  for (let at = 0, size = 0; at < avif.length; at += size) {
    size = new DataView(avif.buffer, avif.byteOffset + at).getUint32(0);
    if (size < 8 || at + size > avif.length) throw new FormatError(`the AVIF file has a box of ${size} bytes`);
    bodies.set(String.fromCharCode(...avif.subarray(at + 4, at + 8)), avif.subarray(at + 8, at + size));
  }
  const names = [...bodies.keys()].sort().join(", ");
  if (names !== "ftyp, mdat, meta") throw new FormatError(`an AVIF file has the boxes ftyp, mdat, meta, not ${names}`);
  const obus = readObus(bodies.get("mdat")!, true).filter(({ whole }) => whole[0] >> 3 !== TEMPORAL_DELIMITER);
  if (obus.length !== 2) throw new FormatError(`the AVIF file has ${obus.length} OBUs instead of 2`);
  const [sequence, frame] = obus;
  return Uint8Array.from([...sequence.whole, frame.whole[0] & ~HAS_SIZE, ...frame.body]);
}

/**
 * Check a payload's OBUs and read its sequence header.
 *
 * @throws FormatError if it is not a sequence header and a frame, or not an 8-bit 4:2:0, 4:4:4 or 4:0:0 still image
 */
export function readSequenceHeader(payload: Uint8Array): SequenceHeader {
  const obus = readObus(payload);
  const kinds = obus.map(({ whole }) => whole[0] >> 3);
  if (kinds.length !== 2 || kinds[0] !== SEQUENCE_HEADER || kinds[1] !== FRAME) {
    const named = kinds.map((kind) => NAMES[kind] ?? `type ${kind}`).join(", ");
    throw new FormatError(`an AV1 payload has a sequence header and a frame, not: ${named}`);
  }
  return parseSequenceHeader(obus[0].body);
}

/** An AVIF file of a payload, as libavif writes it. @throws as `readSequenceHeader` */
export function restoreContainer(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = readSequenceHeader(payload);
  const [sequence, frame] = readObus(payload);
  const data = [
    ...[(TEMPORAL_DELIMITER << 3) | HAS_SIZE, 0],
    ...sequence.whole,
    ...[frame.whole[0] | HAS_SIZE, ...leb128(frame.body.length)],
  ];
  const length = data.length + frame.body.length;
  const kind = header.profile === 1 ? "MA1A" : header.monochrome ? "" : "MA1B";
  const brands = box("ftyp", text("avif"), [0, 0, 0, 0], text(`avifmif1miaf${kind}`));
  const size = meta(header, 0, length).length;
  const start = brands.length + size + 8;
  const before = [...brands, ...meta(header, start, length), ...bigEndian(length + 8, 4), ...text("mdat"), ...data];
  const out = new Uint8Array(before.length + frame.body.length);
  out.set(before);
  out.set(frame.body, before.length);
  return out;
}

/** Section 5.5 of the AV1 specification, of which a still image uses the short form. */
function parseSequenceHeader(body: Uint8Array): SequenceHeader {
  let at = 0;
  const read = (count: number): number => {
    let value = 0;
    for (; count > 0; count--, at++) {
      if (at >= 8 * body.length) throw new TruncatedError("the AV1 sequence header ends too early");
      value = 2 * value + ((body[at >> 3] >> (7 - (at & 7))) & 1);
    }
    return value;
  };
  const [profile, still, reduced, level] = [read(3), read(1), read(1), read(5)];
  if (profile > 1 || !still || !reduced) {
    throw new FormatError("the AV1 image is not an 8-bit still image with a reduced header");
  }
  const [wide, high] = [read(4) + 1, read(4) + 1];
  const [width, height] = [read(wide) + 1, read(high) + 1];
  read(6); // superblock size, intra tools, superres and filters
  if (read(1)) throw new FormatError("the AV1 image has more than 8 bits");
  const monochrome = profile === 0 && read(1) === 1;
  const colour: readonly [number, number, number] = read(1) ? [read(8), read(8), read(8)] : SRGB;
  if (colour[2] === 0) throw new FormatError("the AV1 image codes RGB planes, which is not supported");
  const fullRange = read(1) === 1;
  const chromaPosition = profile === 0 && !monochrome ? read(2) : 0;
  if (!monochrome) read(1); // separate delta q of the chroma planes
  if (read(1)) throw new FormatError("the AV1 image has film grain, which is not supported");
  const left = 8 * body.length - at;
  if (left < 1 || left > 8 || read(left) !== 2 ** (left - 1)) {
    throw new FormatError("the AV1 sequence header does not end where it should");
  }
  return { width, height, profile, level, monochrome, chromaPosition, colour, fullRange };
}

/** The OBUs of a temporal unit; the last may lack its size. @param mayBeEmpty temporal delimiters are */
function readObus(data: Uint8Array, mayBeEmpty = false): Obu[] {
  const found: Obu[] = [];
  let at = 0;
  while (at < data.length) {
    const first = data[at];
    if (first & 0x85) {
      throw new FormatError(`the AV1 data have an OBU header of 0x${first.toString(16)}, which is not supported`);
    }
    let start = at + 1;
    let size = data.length - start;
    if (first & HAS_SIZE) {
      [size, start] = readLeb128(data, at + 1);
      if (start + size > data.length) {
        throw new TruncatedError(`the AV1 data end ${start + size - data.length} bytes too early`);
      }
    }
    if (!size && !mayBeEmpty) throw new FormatError("the AV1 data have an empty OBU");
    found.push({ whole: data.subarray(at, start + size), body: data.subarray(start, start + size) });
    at = start + size;
  }
  if (!found.length) throw new TruncatedError("the AV1 data are empty");
  return found;
}

function readLeb128(data: Uint8Array, at: number): [number, number] {
  let value = 0;
  for (let count = 0; count < 5; count++) {
    if (at + count >= data.length) throw new TruncatedError("the AV1 data end within the size of an OBU");
    const byte = data[at + count];
    value += (byte & 0x7f) * 2 ** (7 * count);
    if (byte < 0x80) {
      if (!byte && count) break;
      return [value, at + count + 1];
    }
  }
  throw new FormatError("the size of an OBU is not a valid number");
}

function leb128(value: number): number[] {
  const out = [];
  while (value > 0x7f) {
    out.push((value % 0x80) | 0x80);
    value = Math.floor(value / 0x80);
  }
  return [...out, value];
}

type Bytes = readonly number[];

function text(letters: string): number[] {
  return Array.from(letters, (letter) => letter.charCodeAt(0));
}

function bigEndian(value: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (value >>> (8 * (count - 1 - i))) & 0xff);
}

function box(name: string, ...parts: readonly Bytes[]): number[] {
  const body = parts.flat();
  return [...bigEndian(body.length + 8, 4), ...text(name), ...body];
}

function fullBox(name: string, flags: number, ...parts: readonly Bytes[]): number[] {
  return box(name, bigEndian(flags, 4), ...parts);
}

/** The metadata box (ISO/IEC 23008-12) of one AV1 item at `offset` of the file. */
function meta(header: SequenceHeader, offset: number, length: number): number[] {
  const item = [0, 1];
  const planes = header.monochrome ? 1 : 3;
  const subsampling = header.profile === 0 ? 0b11 : 0;
  const layout = (Number(header.monochrome) << 4) | (subsampling << 2) | header.chromaPosition;
  const properties = box(
    "ipco",
    fullBox("ispe", 0, bigEndian(header.width, 4), bigEndian(header.height, 4)),
    fullBox("pixi", 0, [planes, ...Array<number>(planes).fill(8)]),
    box("av1C", [0x81, (header.profile << 5) | header.level, layout, 0]),
    box("colr", text("nclx"), header.colour.flatMap((part) => bigEndian(part, 2)), [Number(header.fullRange) << 7]),
  );
  const essential = 0x80;
  const extent = [...bigEndian(offset, 4), ...bigEndian(length, 4)];
  return fullBox(
    "meta",
    0,
    fullBox("hdlr", 0, [0, 0, 0, 0], text("pict"), Array<number>(13).fill(0)),
    fullBox("pitm", 0, item),
    fullBox("iloc", 0, [0x44, 0, 0, 1, ...item, 0, 0, 0, 1, ...extent]),
    fullBox("iinf", 0, item, fullBox("infe", 2 << 24, item, [0, 0], text("av01Color"), [0])),
    box("iprp", properties, fullBox("ipma", 0, [0, 0, 0, 1, ...item, 4, 1, 2, essential | 3, 4])),
  );
}
