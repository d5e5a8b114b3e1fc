/** What kinds of rules have in common. */

/** Width and height in pixels. */
export type Size = readonly [width: number, height: number];

/** What a model makes of an image: its size before the vision encoder, without padding; tokens or null. */
export interface Seen {
  readonly size: Size;
  readonly tokens: number | null;
}

/** A kind of rule with its parameters. */
export type Rule = (width: number, height: number) => Seen;
