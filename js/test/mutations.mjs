// Damaged and hostile files, made from a seed: mutation n of a file is always the same one.
import { crc32 } from "../dist/format/checks.js";
import { headerFields, readHeader, writeFile } from "../dist/format/header.js";
import { randomFrom } from "./pictures.mjs";

const below = (random, count) => Math.floor(random() * count);

const MUTATIONS = [
  function flipBits(random, data) {
    for (let i = below(random, 3); i >= 0; i--) data[below(random, data.length)] ^= 1 << below(random, 8);
    return data;
  },
  function cut(random, data) {
    return data.slice(0, below(random, data.length));
  },
  function insert(random, data) {
    const at = below(random, data.length + 1);
    return Uint8Array.from([...data.slice(0, at), ...randomBytes(random, 1 + below(random, 20)), ...data.slice(at)]);
  },
  function remove(random, data) {
    const at = below(random, data.length);
    return Uint8Array.from([...data.slice(0, at), ...data.slice(at + 1 + below(random, 20))]);
  },
  function overwrite(random, data) {
    const at = below(random, data.length);
    return data.fill(random() < 0.5 ? 0 : 255, at, at + below(random, data.length - at));
  },
  function flipPayload(random, data) {
    const { header, payload } = parts(data);
    for (let i = below(random, 3); i >= 0 && payload.length; i--) payload[below(random, payload.length)] ^= 1 << below(random, 8);
    return written(header, payload);
  },
  function randomPayload(random, data) {
    return written(parts(data).header, randomBytes(random, below(random, 3000)));
  },
  function cutPayload(random, data) {
    const { header, payload } = parts(data);
    return written(header, payload.slice(0, below(random, payload.length)));
  },
  function changeFields(random, data) {
    const { header, payload } = parts(data);
    const changes = [
      { quality: below(random, 101) },
      { hasLevels: header.kind === "learned" && !header.hasLevels },
      { checksum: below(random, 2 ** 32) },
      { width: header.width + below(random, 7) - 3 || 1 },
      { height: header.height + below(random, 7) - 3 || 1 },
      { width: header.height, height: header.width },
    ];
    return written({ ...header, ...changes[below(random, changes.length)] }, payload);
  },
  function changeSize(random, data) {
    const { header, payload } = parts(data);
    const side = () => Math.ceil(2 ** (20 * random()));
    return written({ ...header, width: side(), height: side() }, payload);
  },
];

/** A mutation of a file, with the name of its kind. */
export function mutated(data, number) {
  const random = randomFrom(number * 7919 + data.length);
  const kinds = readHeader(data).kind === "sequence" ? MUTATIONS.slice(0, 5) : MUTATIONS;
  const kind = kinds[below(random, kinds.length)];
  return { name: kind.name, data: kind(random, data.slice()) };
}

function parts(data) {
  const header = readHeader(data);
  return { header, payload: data.slice(header.payloadStart, header.payloadStart + header.payloadLength) };
}

/** A file whose header is right; so is the checksum of all but learned payloads. */
function written(header, payload) {
  const checksum = header.kind === "learned" ? header.checksum : crc32(payload, crc32(headerFields(header)));
  return writeFile(header, payload, checksum);
}

function randomBytes(random, count) {
  return Uint8Array.from({ length: count }, () => below(random, 256));
}

