// Compiled by types.test.mjs, never run: what the package's types allow, and what they do not.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import {
  allModels,
  CotamError,
  decode,
  decodeFrames,
  encode,
  fitSize,
  gatewayFetch,
  hostedFetch,
  info,
  load,
  TargetSizeError,
  type Decoded,
  type EncodeOptions,
  type Info,
} from "cotam";

const image = { data: new Uint8Array(4), width: 1, height: 1 };
const options: EncodeOptions = { quality: 30, signal: new AbortController().signal };
const file: Uint8Array = await encode(image, options);
await encode(new ImageData(1, 1), { targetSize: 1000, for: "qwen3-vl" });
await encode(new Blob([]));
await encode(document.createElement("img"));
// @ts-expect-error no path
await encode("photo.png");
await encode(image, { profile: "page", guide: "none" });
// @ts-expect-error no such set
await encode(image, { profile: "base" });
// @ts-expect-error no such option
await encode(image, { qualty: 30 });

const decoded: Decoded = await decode(file, { view: "human", earlier: [file] });
new ImageData(decoded.data, decoded.width, decoded.height);
await decode(file.buffer as ArrayBuffer);
// @ts-expect-error no such view
await decode(file, { view: "people" });
for await (const { time, data } of decodeFrames(file)) console.log(time.toFixed(), data.length);

const found: Info = info(file);
const kind: "learned" | "av1" | "lossless" | "sequence" | "patch" = found.kind;
await load({ weights: new URL("https://example.org/page/"), onProgress: ({ loaded, total }) => loaded / total });
const { width }: { width: number } = fitSize("gpt-4o", 100, 100);
console.log(kind, width, allModels().length);

try {
  await encode(image, { targetSize: 1 });
} catch (error) {
  if (error instanceof TargetSizeError) console.log(error.smallest.toFixed());
  else if (error instanceof CotamError) console.log(error.message);
}

new OpenAI({ apiKey: "key", fetch: gatewayFetch({ quality: 40, token: "t" }) });
new Anthropic({ apiKey: "key", fetch: hostedFetch({ for: "claude", format: "webp" }) });
// @ts-expect-error
gatewayFetch({ format: "webp" });
