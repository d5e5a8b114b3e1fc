/** Who decides where an image spends its bits. */

import type { Plane } from "./planes.js";

/**
 * What gain offsets cost at the quality that is coded: bits, (15, ⌈H/32⌉, ⌈W/32⌉), of each offset −7 … 7 in each field
 * of 32×32 pixels.
 */
export type Costs = () => Promise<Plane<Float32Array>>;

/** Chooses the gain offset map, (⌈H/32⌉, ⌈W/32⌉) in ±7; asked once for each quality that is tried. */
export type Allocator = (costs: Costs) => Promise<Plane<Int8Array>>;
