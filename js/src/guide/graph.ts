/** The guide "text": the network of this package, which finds text. */

import { roundEven } from "../codec/planes.js";
import type { Runner } from "../codec/runtime.js";
import type { Pixels } from "../codec/still.js";
import type { WeightSource } from "../codec/weights.js";
import { resize } from "../image/resize.js";
import type { GridMap } from "./maps.js";

/** Where the graph is, and what its metadata say; see docs/guide.md. */
export interface GuideSource extends WeightSource {
  /** Name of the graph's file without `.onnx`. */
  readonly graph: string;
  /** Pixels of the long side that the graph sees, at most. */
  readonly side: number;
  /** Both sides that it sees are multiples of this. */
  readonly multiple: number;
  /** The power of importance that gives the gain. */
  readonly exponent: number;
}

/** What the graph finds in an image, or in a part of it. */
export interface Look {
  /** Positive, of mean 1: higher where there is text. */
  readonly importance: GridMap;
  /** How much luma varies near text. */
  readonly nearText: number;
  /** How much luma varies. */
  readonly everywhere: number;
}

export class GuideGraph {
  readonly side: number;

  constructor(
    private readonly source: GuideSource,
    private readonly run: Runner,
  ) {
    this.side = source.side;
  }

  async look(pixels: Pixels): Promise<Look> {
    const { graph } = this.source;
    const [height, width] = this.sizeFor(pixels.height, pixels.width / 3);
    const seen = resize(pixels, width, height);
    const [, text, structure] = await this.run(graph, {
      pixels: { data: seen.data.slice(), shape: [1, height, width, 3] },
    });
    const [, rows, columns] = text.shape;
    return {
      importance: normalised({ data: Float64Array.from(text.data), height: rows, width: columns }),
      nearText: structure.data[0],
      everywhere: structure.data[1],
    };
  }

  /** The aspect is kept but for rounding; small images are not enlarged. */
  private sizeFor(height: number, width: number): [number, number] {
    const { side, multiple } = this.source;
    const scale = Math.min(side / Math.max(height, width), 1);
    const fitted = (length: number): number => {
      const count = roundEven((length * scale) / multiple);
      return multiple * Math.min(Math.max(count, 1), Math.floor(side / multiple));
    };
    return [fitted(height), fitted(width)];
  }
}

/** Divide positive numbers by their mean; float32, the smallest above zero. */
export function normalised(grid: GridMap): GridMap {
  const mean = grid.data.reduce((sum, value) => sum + value, 0) / grid.data.length;
  return { ...grid, data: grid.data.map((value) => Math.fround(Math.max(value / mean, 1e-9))) };
}
