/** Encode and decode `.cotam` images in browsers and in Node. */

export * from "./api.js";
export {
  CotamError,
  DamagedError,
  FormatError,
  InputError,
  LimitError,
  MissingCodecError,
  NotCotamError,
  TargetSizeError,
  TruncatedError,
  UnknownWeightsError,
} from "./errors.js";
export { gatewayFetch, hostedFetch } from "./fetch.js";
export type { Codec, FetchOptions, GatewayOptions, HostedOptions } from "./fetch.js";
export { allModels, findModel, fitSize, seenBy } from "./models.js";
export type { Fitted, FitOptions, Limits, Model } from "./models.js";
export type { View } from "./codec/still.js";
export type { Kind } from "./format/header.js";
export type { Metadata } from "./format/metadata.js";
export type { RawImage } from "./image/pixels.js";
export type { Decoded, DecodedFrame, Progress } from "./protocol.js";
