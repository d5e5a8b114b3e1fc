/** Read sequences: a header, a chunk for each frame, an index. docs/format.md specifies the bytes. */

import { DamagedError, FormatError, TruncatedError } from "../errors.js";
import { crc16, crc32 } from "./checks.js";
import { headerFields, littleEndian, readHeader, readUint32, type ParsedHeader } from "./header.js";
import { readVarint, varint } from "./varint.js";

/** Ticks of a second. */
const TICKS = 1_000_000;
const FRAME = 0x40;
const INDEX = 0x49;

/** Flags of a frame: it is a key frame; its payload is changes of the frame before. */
export const KEY = 1;
export const PASTED = 16;
/** All that occur: a key frame is an intra frame, and pasted frames have no levels and are keys if intra. */
const FLAGS = [0, 2, 3, 4, 6, 7, 16, 19];

/** The contents of a frame's chunk. */
export interface CodedFrame {
  /** Seconds. */
  readonly time: number;
  /** Flags 1 key, 2 intra, 4 levels, 16 pasted. */
  readonly flags: number;
  /** Header fields and time, as the checksum covers them. */
  readonly fields: Uint8Array;
  readonly checksum: number;
  readonly payload: Uint8Array;
}

export interface Sequence {
  readonly header: ParsedHeader;
  /** Reads a frame at a time, and the index after the last; throws where the file is not valid. */
  readonly frames: Iterable<CodedFrame>;
}

/** @throws FormatError if the file does not begin with the header of a sequence */
export function readSequence(data: Uint8Array): Sequence {
  const header = readHeader(data);
  if (header.kind !== "sequence") {
    throw new FormatError("this is a still image and not a sequence: read it with decode");
  }
  return { header, frames: { [Symbol.iterator]: () => framesOf(data, header) } };
}

function* framesOf(data: Uint8Array, header: ParsedHeader): Generator<CodedFrame> {
  const largest = 4096 + 1536 * Math.ceil(header.width / 16) * Math.ceil(header.height / 16);
  const index: number[] = [];
  let count = 0;
  let ticks = 0;
  let at = header.payloadStart;
  const need = (end: number, where: string): void => {
    const whole = count === 1 ? "1 whole frame is" : `${count} whole frames are`;
    if (data.length < end) throw new TruncatedError(`the sequence ends ${where}: ${whole} there`);
  };
  const number = (start: number): [number, number] => {
    for (let end = start; end < start + 5; end++) {
      need(end + 1, `within frame ${count}`);
      if (data[end] < 0x80) break;
    }
    return readVarint(data, start, "frame");
  };
  for (;;) {
    need(at + 1, "before its index");
    const tag = data[at];
    if (tag === INDEX) break;
    if (!FLAGS.includes(tag - FRAME)) {
      throw new DamagedError(`frame ${count} is not where it should be`);
    }
    const [gap, afterGap] = number(at + 1);
    const [length, end] = number(afterGap);
    const start = end + 6;
    need(start, `within frame ${count}`);
    if (crc16(data.subarray(at, end + 4)) !== (data[end + 4] | (data[end + 5] << 8))) {
      throw new DamagedError(`the head of frame ${count} is damaged: its checksum does not match`);
    }
    if (count && !gap) throw new FormatError(`frame ${count} has the time of the frame before it`);
    if (length > largest) {
      throw new FormatError(`frame ${count} has ${length} bytes, more than any encoder writes`);
    }
    need(start + length, `within frame ${count}`);
    if (count === 0 && !(tag & 1)) throw new DamagedError("frame 0: no key frame is before it");
    ticks += gap;
    index.push(tag & 3, ...varint(gap), ...varint(start + length - at));
    yield {
      time: ticks / TICKS,
      flags: tag - FRAME,
      fields: Uint8Array.from([...headerFields(header), ...varint(gap)]),
      checksum: readUint32(data, end),
      payload: data.subarray(start, start + length),
    };
    count += 1;
    at = start + length;
  }
  if (!count) throw new DamagedError("the sequence has no frames");
  const body = [INDEX, ...varint(count), ...index];
  const summed = [...body, ...littleEndian(crc32(Uint8Array.from(body)), 4)];
  const expected = [...summed, ...littleEndian(summed.length, 4)];
  need(at + expected.length, "within its index");
  if (expected.some((byte, i) => data[at + i] !== byte)) {
    throw new DamagedError("the index at the end is damaged, or frames are missing");
  }
  if (data.length > at + expected.length) throw new FormatError("there are bytes after the end of the sequence");
}
