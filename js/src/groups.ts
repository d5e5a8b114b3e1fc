/** Decode the frames of a sequence, which come in groups: of the learned codec, or of pasted stills. */

import type { Codec, Pixels, View } from "./codec/still.js";
import { FrameDecoder } from "./codec/temporal.js";
import type { Constants } from "./codec/weights.js";
import { DamagedError, FormatError, LimitError } from "./errors.js";
import type { ParsedHeader } from "./format/header.js";
import { KEY, PASTED, type CodedFrame } from "./format/sequence.js";
import { PastedDecoder, type DecodeStill } from "./pasted.js";

/** Decodes frames in order; `open` opens the weight set of learned groups, if there are any. */
export class GroupDecoder {
  private readonly pasted: PastedDecoder;
  private learned: FrameDecoder | null = null;
  private group = 0;
  private number = 0;

  constructor(
    private readonly header: ParsedHeader,
    private readonly view: View,
    private readonly open: () => Promise<{ codec: Codec; constants: Constants }>,
    decodeStill: DecodeStill,
  ) {
    this.pasted = new PastedDecoder(header.width, header.height, decodeStill);
  }

  /** @throws FormatError, LimitError with the number of the frame if it is not valid, or does not follow the one before */
  async decode(frame: CodedFrame): Promise<Pixels> {
    const kind = frame.flags & PASTED;
    try {
      if (frame.flags & KEY) this.group = kind;
      else if (kind !== this.group) throw new DamagedError("no key frame of its group is before it");
      return await (kind ? this.pasted.decode(frame) : this.decodeLearned(frame));
    } catch (error) {
      if (error instanceof FormatError || error instanceof LimitError) error.message = `frame ${this.number}: ${error.message}`;
      throw error;
    } finally {
      this.number += 1;
    }
  }

  private async decodeLearned(frame: CodedFrame): Promise<Pixels> {
    const { height, width, quality } = this.header;
    if (!this.learned) {
      const { codec, constants } = await this.open();
      this.learned = new FrameDecoder(codec, constants, height, width, quality);
    }
    return this.learned.decode(frame, this.view);
  }
}
