/** Patches: an image as the changes of an earlier one. docs/format.md specifies the file. */

import type { Pixels } from "./codec/still.js";
import { FormatError, InputError, TruncatedError } from "./errors.js";
import { hex, sha256 } from "./format/checks.js";
import { readFile, readKind, type CotamFile } from "./format/header.js";
import { readChanges, type Changes } from "./format/changes.js";
import { pasteChanges, type DecodeStill } from "./pasted.js";

/** Patches from one whole image on, each based on the one before. */
const MAX_DEPTH = 8;

export interface Patch {
  readonly width: number;
  readonly height: number;
  /** SHA-256 of the file of the earlier image, in hexadecimal. */
  readonly base: string;
  readonly depth: number;
  readonly changes: Changes;
}

/** Read a patch; its stills are not decoded. @throws FormatError, LimitError if it says what cannot be */
export function readPatch({ header, payload }: CotamFile): Patch {
  const { width, height } = header;
  if (payload.length < 33) throw new TruncatedError("the patch ends within the name of its base");
  const depth = payload[32];
  if (depth < 1 || depth > MAX_DEPTH) {
    throw new FormatError(`impossible patch: number ${depth} of its chain, at most ${MAX_DEPTH} are allowed`);
  }
  const changes = readChanges(payload.subarray(33), width, height);
  return { width, height, base: hex(payload.subarray(0, 32)), depth, changes };
}

/**
 * Decode an image's earlier image and stills and put them together.
 *
 * @param earlier files, among which the patch's base is looked for by its hash
 * @throws InputError if the base is not among them, or is a chain of patches that does not end
 * @throws FormatError if pixels are left open, or the depths of patch and base do not fit
 */
export async function pastePatch(
  patch: Patch,
  earlier: readonly Uint8Array[],
  decode: DecodeStill,
): Promise<Pixels> {
  const base = earlier.find((file) => hex(sha256(file)) === patch.base);
  if (!base) {
    throw new InputError(`the file is a patch of the image with SHA-256 ${patch.base}: pass its file as earlier`);
  }
  const depth = readKind(base) === "patch" ? readPatch(readFile(base)).depth : 0;
  if (patch.depth !== depth + 1) {
    throw new FormatError(`the patch is number ${patch.depth} of its chain, its base has another number`);
  }
  return pasteChanges(await decode(base), patch.changes, patch.width, patch.height, decode);
}
