// Small things that all modules of the page need.

export const element = (id) => document.getElementById(id);
export const made = (tag, properties) => Object.assign(document.createElement(tag), properties);
export const number = new Intl.NumberFormat("en");
export const NARROW = "\u202f"; // no-break space between a number and its unit

export function kilobytes(bytes) {
  if (bytes < 1000) return `${bytes}${NARROW}B`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1000, "kB"] : [bytes / 1e6, "MB"];
  return `${value.toPrecision(value < 100 ? 2 : 3)}${NARROW}${unit}`;
}
