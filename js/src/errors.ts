/** The errors of this package. Their messages are one line, fit to be shown to a user. */

/** Base class. */
export class CotamError extends Error {
  override name = "CotamError";
}

/** An image or an argument cannot be encoded. */
export class InputError extends CotamError {
  override name = "InputError";
}

/** No file of the image is as small as asked for. */
export class TargetSizeError extends CotamError {
  override name = "TargetSizeError";

  /** @param smallest bytes of the smallest file, about */
  constructor(
    message: string,
    readonly smallest: number,
  ) {
    super(message);
  }

  static of(target: number, smallest: number): TargetSizeError {
    const text = `the smallest file of this image has about ${smallest} bytes, more than ${target}`;
    return new TargetSizeError(text, smallest);
  }
}

/** The data are not a valid .cotam file. */
export class FormatError extends CotamError {
  override name = "FormatError";
}

/** The data do not begin with the magic bytes of a .cotam file. */
export class NotCotamError extends FormatError {
  override name = "NotCotamError";
}

/** The data end too early. */
export class TruncatedError extends FormatError {
  override name = "TruncatedError";
}

/** A checksum does not match: bytes were changed, or the file was made with other weights. */
export class DamagedError extends FormatError {
  override name = "DamagedError";
}

/** The image, or a part of the file, is larger than a limit allows. */
export class LimitError extends CotamError {
  override name = "LimitError";
}

/** The weight set of a file is not loaded, or is not the one that its manifest describes. */
export class UnknownWeightsError extends CotamError {
  override name = "UnknownWeightsError";
}

/** The payload of a file, or the format of an image, needs a decoder that is not there. */
export class MissingCodecError extends CotamError {
  override name = "MissingCodecError";
}

const CLASSES = {
  CotamError,
  InputError,
  FormatError,
  NotCotamError,
  TruncatedError,
  DamagedError,
  LimitError,
  UnknownWeightsError,
  MissingCodecError,
};

/** An error as it crosses from a worker: structured cloning keeps no subclasses. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly smallest?: number;
}

export function toPlain(error: unknown): PlainError {
  if (error instanceof TargetSizeError) {
    return { name: error.name, message: error.message, smallest: error.smallest };
  }
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { name: "Error", message: String(error) };
}

export function fromPlain({ name, message, smallest }: PlainError): Error {
  if (name === "TargetSizeError") return new TargetSizeError(message, smallest ?? 0);
  const found = CLASSES[name as keyof typeof CLASSES];
  return found ? new found(message) : Object.assign(new Error(message), { name });
}
