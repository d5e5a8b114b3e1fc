/** Checks of options, with the messages of Python. */

import { InputError } from "./errors.js";
import { MAX_QUALITY } from "./format/header.js";

/** @throws InputError if a value is none of the choices */
export function checkChoice(name: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value)) {
    throw new InputError(`unknown ${name} ${shown(value)}: choose from ${choices.join(", ")}`);
  }
}

/** @throws InputError if a quality is out of range */
export function checkQuality(quality: number): void {
  if (!Number.isInteger(quality) || quality < 0 || quality > MAX_QUALITY) {
    throw new InputError(`quality must be a whole number from 0 to ${MAX_QUALITY}, got ${shown(quality)}`);
  }
}

/** @throws InputError if a number of bytes is given that is none */
export function checkTargetSize(size: number | undefined): void {
  if (size !== undefined && (!Number.isInteger(size) || size < 1)) {
    throw new InputError(`targetSize must be a whole number above 0, got ${shown(size)}`);
  }
}

/** A value in a message: text in quotes. */
export function shown(value: unknown): string {
  return typeof value === "string" ? `'${value}'` : String(value);
}
