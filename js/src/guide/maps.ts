/** Maps on coarse grids, and how they are resampled. */

/** Numbers on a grid that covers an image evenly. */
export interface GridMap {
  readonly data: Float64Array;
  readonly height: number;
  readonly width: number;
}

/** Rows of weights: one for each place of the target, over the places of the source. */
export type Weights = readonly Float64Array[];

export function mean({ data }: GridMap): number {
  return data.reduce((sum, value) => sum + value, 0) / data.length;
}

/**
 * Resample a map: means where `height` × `width` is coarser, linear interpolation where it is finer.
 *
 * @param extent rows and columns of the area that the result covers, relative to that of `grid`: beyond its edge the
 *   last values are repeated
 */
export function resample(
  grid: GridMap,
  height: number,
  width: number,
  extent: readonly [number, number] = [1, 1],
): GridMap {
  return weighted(triangles(grid.height, height, extent[0]), grid, triangles(grid.width, width, extent[1]));
}

/** Each result is the sum of a map's values, weighted by a row of `down` and a row of `across`. */
export function weighted(down: Weights, grid: GridMap, across: Weights): GridMap {
  const [height, width] = [down.length, across.length];
  const data = new Float64Array(height * width);
  down.forEach((rows, y) => {
    const line = new Float64Array(grid.width);
    rows.forEach((share, row) => {
      if (share === 0) return;
      for (let column = 0; column < grid.width; column++) line[column] += share * grid.data[row * grid.width + column];
    });
    across.forEach((columns, x) => {
      data[y * width + x] = columns.reduce((sum, share, column) => sum + share * line[column], 0);
    });
  });
  return { data, height, width };
}

/** Triangles as wide as the coarser grid's cells. */
function triangles(source: number, target: number, extent: number): Weights {
  const step = (source * extent) / target;
  return Array.from({ length: target }, (_, place) => {
    const centre = Math.min(Math.max((place + 0.5) * step - 0.5, 0), source - 1);
    const row = Float64Array.from({ length: source }, (_, at) =>
      Math.max(0, 1 - Math.abs(at - centre) / Math.max(step, 1)),
    );
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((value) => value / sum);
  });
}
