/** Analyse what an image is: a photograph or a page, and where it is important. */

import type { Pixels } from "../codec/still.js";
import type { GuideGraph, Look } from "./graph.js";
import type { GridMap } from "./maps.js";
import { importance } from "./multiscale.js";

/** Name of a weight set of this package. */
export type Profile = "mllm" | "page";

/** From this share of text on an image is a page (docs/guide.md). */
const PAGE = 0.4;

export interface Content {
  /** 0 … 1, the share of text in what varies in the image. */
  readonly text: number;
  /** Positive, of mean 1, covers the image evenly. */
  readonly importance: GridMap;
}

/** Find text and importance in an image of any size. */
export async function examine(guide: GuideGraph, pixels: Pixels): Promise<Content> {
  let nearText = 0;
  let everywhere = 0;
  const watching = async (part: Pixels): Promise<Look> => {
    const found = await guide.look(part);
    nearText += found.nearText;
    everywhere += found.everywhere;
    return found;
  };
  const found = await importance(watching, guide.side, pixels);
  return { text: nearText / everywhere, importance: found };
}

/** The weight set that suits an image. */
export function profileOf({ text }: Content): Profile {
  return text >= PAGE ? "page" : "mllm";
}
