/**
 * Models by name: the size that each one sees, its visual tokens, and what its API accepts.
 *
 * The table is Python's `src/cotam/image/models.json`; `scripts/models_table.mjs` puts it into `models/table.ts`
 * before each build. docs/models.md describes it.
 */

import { InputError } from "./errors.js";
import type { Rule, Seen, Size } from "./models/rule.js";
import { boxed, SIZES } from "./models/sizes.js";
import { TABLE } from "./models/table.js";
import { TILINGS } from "./models/tilings.js";

/** What an API refuses; a limit that is not known is absent. */
export interface Limits {
  /** Bytes of one image. */
  readonly image_bytes?: number;
  /** `image_bytes` are those of the base64 text, 4 for 3 of the file. */
  readonly base64_counted?: boolean;
  /** Bytes of the whole request. */
  readonly request_bytes?: number;
  /** Images in one request. */
  readonly images?: number;
  /** Pixels of either side of an image. */
  readonly side?: number;
  /** In a request of more than `many_images`, `many_side` is the limit of a side. */
  readonly many_images?: number;
  readonly many_side?: number;
  /** `count` patches of `size` × `size` pixels in one image. */
  readonly patches?: { readonly size: number; readonly count: number };
}

/** One family of models. */
export interface Model {
  /** As typed. */
  readonly name: string;
  /** As printed. */
  readonly title: string;
  readonly aliases: readonly string[];
  /** Reached through an API of its vendor. */
  readonly hosted: boolean;
  /** Formats of images that the API opens, such as "png"; null: whatever the server opens. */
  readonly formats: readonly string[] | null;
  readonly limits: Limits;
  /** Levels of detail that a request may name; "auto" is always one. */
  readonly details: readonly string[];
}

/** An image as a model takes it: the size worth sending, and visual tokens (null where no rule is known). */
export interface Fitted {
  readonly width: number;
  readonly height: number;
  readonly tokens: number | null;
}

export interface FitOptions {
  /** Level of detail of the request; one that the model does not know counts as "auto". */
  readonly detail?: string | null | undefined;
  /** Images in the request, earlier turns included: some APIs then limit the sides. */
  readonly images?: number;
}

type Entry = { readonly kind: string; readonly send?: Entry };

interface Row {
  readonly name: string;
  readonly title: string;
  readonly aliases: readonly string[];
  readonly hosted: boolean;
  readonly pattern: string;
  readonly formats: readonly string[] | null;
  readonly limits: Limits;
  readonly details: Readonly<Record<string, Entry | string>>;
  readonly on?: readonly { readonly pattern: string; readonly limits: Limits }[];
}

interface Found {
  readonly row: Row;
  readonly detail: string;
  readonly limits: Limits;
}

const table = TABLE as unknown as { prefix: string; models: readonly Row[] };
const KINDS = { ...SIZES, ...TILINGS } as Record<string, (parameters: never) => Rule>;

/** Largest change of the proportions, as a logarithm, for an image that is sent. */
const STRETCH = 0.05;
/** Least share of the pixels for which an image is shrunk: resampled flat graphics take more bytes. */
const MIN_SAVED = 0.05;
const LONGEST_NAME = 200;
/** Sizes tried, where a model makes something else of the very size that it sees. */
const SCALES = [1, 1.02, 1.05, 1.1, 1.2, 1.4];

/**
 * The size worth sending to a model, of which it sees the same as of the whole image; never larger. An image that
 * would lose less than a twentieth of its pixels keeps its size.
 *
 * @param model any name that servers and APIs use; a level of detail may follow: "gpt-4o:low"
 * @param width of the upright image, in pixels
 * @param height of the upright image, in pixels
 * @throws InputError for an unknown model, or a size that is not of whole pixels
 */
export function fitSize(model: string, width: number, height: number, options: FitOptions = {}): Fitted {
  checkSides({ width, height });
  const found = known(model);
  const entry = entryOf(found, options.detail);
  const rule = ruleOf(entry);
  const smaller = entry.send ? ruleOf(entry.send)(width, height).size : sameView(rule, width, height);
  const saves = smaller[0] * smaller[1] <= (1 - MIN_SAVED) * width * height;
  const size: Size = saves ? smaller : [width, height];
  const { many_images: many, many_side: manySide, side } = found.limits;
  const limit = many !== undefined && (options.images ?? 1) > many ? manySide : side;
  const [sentWidth, sentHeight] = boxed(size, limit);
  return { width: sentWidth, height: sentHeight, tokens: rule(width, height).tokens };
}

/** What the model has in front of its vision encoder, which may be enlarged, and its visual tokens. */
export function seenBy(model: string, width: number, height: number, detail?: string | null): Fitted {
  checkSides({ width, height });
  const { size, tokens } = ruleOf(entryOf(known(model), detail))(width, height);
  return { width: size[0], height: size[1], tokens };
}

/** All rows of the table. */
export function allModels(): Model[] {
  return table.models.map((row) => publicRow(row, row.limits));
}

/**
 * The row of a model by any name that servers and APIs use; undefined if there is none.
 *
 * Limits that differ between clouds are those of the name's cloud: "anthropic.claude-opus-4-7-v1:0" is Bedrock's.
 */
export function findModel(name: string): Model | undefined {
  const found = find(name);
  return found && publicRow(found.row, found.limits);
}

/** Largest file of an image that an API takes, in bytes. */
export function fileBytes(limits: Limits): number | undefined {
  if (limits.image_bytes === undefined || !limits.base64_counted) return limits.image_bytes;
  return Math.floor(limits.image_bytes / 4) * 3;
}

function publicRow(row: Row, limits: Limits): Model {
  const { name, title, aliases, hosted, formats, details } = row;
  const levels = Object.keys(details).filter((level) => level !== "auto"); // numbers come first in JavaScript
  return { name, title, aliases, hosted, formats, limits, details: ["auto", ...levels] };
}

function checkSides(sides: { width: number; height: number }): void {
  for (const [name, side] of Object.entries(sides)) {
    if (!Number.isInteger(side) || side < 1) throw new InputError(`${name} must be whole pixels, got ${side}`);
  }
}

/** @throws InputError with the nearest names if there is no such model */
function known(name: string): Found {
  const found = find(name);
  if (!found) throw new InputError(unknown(name));
  return found;
}

function find(name: string): Found | undefined {
  const typed = name.trim().toLowerCase();
  if (typed.length > LONGEST_NAME) return undefined;
  const colon = typed.lastIndexOf(":");
  if (colon >= 0) {
    const found = findRow(typed.slice(0, colon));
    const level = typed.slice(colon + 1);
    if (found && Object.hasOwn(found.row.details, level)) return { ...found, detail: level };
  }
  return findRow(typed);
}

function findRow(typed: string): Found | undefined {
  const bare = typed.slice(typed.lastIndexOf("/") + 1);
  const name = bare.replace(new RegExp(`^${table.prefix}`), "").replaceAll("_", "-");
  for (const row of table.models) {
    if (name !== row.name && !row.aliases.includes(name) && !new RegExp(`^(?:${row.pattern})`).test(name)) continue;
    const host = row.on?.find(({ pattern }) => new RegExp(pattern).test(typed));
    return { row, detail: "auto", limits: { ...row.limits, ...host?.limits } };
  }
  return undefined;
}

function entryOf({ row, detail }: Found, wanted: string | null | undefined): Entry {
  const level = (wanted || detail).toLowerCase().replace(/^media_resolution_/, "");
  let entry = row.details[Object.hasOwn(row.details, level) ? level : "auto"];
  while (typeof entry === "string") entry = row.details[entry];
  return entry as Entry;
}

function ruleOf(entry: Entry): Rule {
  return (KINDS[entry.kind] as (parameters: Entry) => Rule)(entry);
}

/**
 * The smallest of some sizes of which the model sees what it sees of the whole image.
 *
 * Candidates are the size that the model sees, if its proportions are close enough, then sizes with the image's
 * proportions, from the one that covers it upward. If none gives exactly the same, one per cent is allowed, with
 * the same number of tokens.
 */
function sameView(rule: Rule, width: number, height: number): Size {
  const seen = rule(width, height);
  const smaller: Size = [Math.min(seen.size[0], width), Math.min(seen.size[1], height)];
  const covering = Math.max(seen.size[0] / width, seen.size[1] / height);
  const scales = SCALES.map((more) => covering * more).filter((scale) => scale < 1);
  const candidates = scales.map((scale): Size => [Math.ceil(width * scale), Math.ceil(height * scale)]);
  if (Math.abs(Math.log((smaller[0] * height) / (smaller[1] * width))) <= STRETCH) candidates.unshift(smaller);
  const views = candidates.map((size): [Size, Seen] => [size, rule(...size)]);
  for (const tolerance of [0, 0.01]) {
    for (const [size, view] of views) {
      if (view.tokens === seen.tokens && differ(view.size, seen.size) <= tolerance) return size;
    }
  }
  return [width, height];
}

/** Relative difference of the sides, the larger of the two. */
function differ(one: Size, other: Size): number {
  return Math.max(Math.abs(one[0] - other[0]) / other[0], Math.abs(one[1] - other[1]) / other[1]);
}

function unknown(name: string): string {
  const typed = name.trim().toLowerCase().slice(0, LONGEST_NAME);
  const names = table.models.flatMap((row) => [row.name, ...row.aliases]);
  const near = names
    .map((one): [string, number] => [one, likeness(typed, one)])
    .filter(([, like]) => like >= 0.5)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 3);
  const hint = near.length ? `did you mean ${near.map(([one]) => one).join(" or ")}? ` : "";
  return `model '${name}' is unknown: ${hint}allModels() lists all names`;
}

/** Letters that two names have in common, in order, of all their letters: 0 to 1. */
function likeness(one: string, other: string): number {
  let row = new Array<number>(other.length + 1).fill(0);
  for (const letter of one) {
    const next = [0];
    for (let i = 0; i < other.length; i++) {
      next.push(letter === other[i] ? row[i]! + 1 : Math.max(next[i]!, row[i + 1]!));
    }
    row = next;
  }
  return (2 * row[other.length]!) / Math.max(1, one.length + other.length);
}
