/** Animated GIF and WebP files, of which some APIs refuse all but still ones. */

/** Whether a file of this format has more than one frame. */
export function isAnimated(file: Uint8Array, format: string): boolean {
  if (format === "webp") return String.fromCharCode(...file.subarray(12, 16)) === "VP8X" && (file[20] & 2) !== 0;
  return format === "gif" && hasTwoFrames(file);
}

function hasTwoFrames(file: Uint8Array): boolean {
  let frames = 0;
  let at = 13 + tableLength(file[10]); // behind the colours of all frames
  while (at < file.length) {
    const kind = file[at];
    if (kind === 0x2c) {
      if (++frames === 2) return true;
      at += 11 + tableLength(file[at + 9]); // behind the colours of the frame and the size of its codes
    } else if (kind === 0x21) {
      at += 2;
    } else {
      return false; // the end, or damage
    }
    while (file[at]) at += 1 + file[at]; // blocks of data
    at++;
  }
  return false;
}

/** The bytes of a table of colours, given the flags of a frame or file. */
function tableLength(flags: number): number {
  return flags & 0x80 ? 3 << ((flags & 7) + 1) : 0;
}
