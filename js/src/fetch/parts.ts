/** Find and replace the images in the JSON of a request to OpenAI's, Anthropic's or Gemini's API, results of MCP included. */

type Json = Record<string, unknown>;

/** Keys of a request, and of requests within it, below which turns are. */
const TURNS = ["messages", "input", "items", "system", "contents", "content", "systemInstruction", "system_instruction"];
/** Keys of a turn or a part below which parts are: a tool's result has a list of its own. */
const PARTS = ["content", "output", "parts", "functionResponse", "function_response"];
const DEPTH = 12;

/** An image in a request, as a base64 data URL or bare base64. */
export interface ImagePart {
  /** Media type in small letters. */
  readonly type: string;
  readonly base64: string;
  /** OpenAI's level of detail, or Gemini's resolution, where the part names one. */
  readonly detail: string | undefined;
  /** Puts another file in its place. */
  replace(type: string, base64: string): void;
}

/** All images that are in the request itself, in order. */
export function imagesOf(body: unknown): ImagePart[] {
  const found: ImagePart[] = [];
  if (!isObject(body)) return found;
  for (const key of TURNS) below(body[key], found, 0);
  for (const request of listOf(body["requests"])) {
    const inner = request["params"] ?? request["body"];
    if (isObject(inner)) found.push(...imagesOf(inner));
  }
  const detail = resolutionOf(body["generationConfig"] ?? body["generation_config"]);
  return detail ? found.map((part) => ({ ...part, detail: part.detail ?? detail })) : found;
}

function below(value: unknown, found: ImagePart[], depth: number): void {
  for (const item of listOf(value)) {
    const image = openai(item) ?? anthropic(item) ?? gemini(item) ?? typed(item);
    if (image) found.push(image);
    if (depth >= DEPTH) continue;
    for (const key of PARTS) below(item[key], found, depth + 1);
    result(item["result"], found, depth + 1);
  }
}

/** The result of a tool in Gemini's interactions, which may be any object: only typed images in it are known. */
function result(value: unknown, found: ImagePart[], depth: number): void {
  for (const item of listOf(value)) {
    const image = typed(item);
    if (image) found.push(image);
    if (depth < DEPTH) result(item["content"], found, depth + 1); // of MCP
  }
}

/** `{image_url: {url, detail}}` of chat completions, `{image_url, detail}` of responses. */
function openai(part: Json): ImagePart | undefined {
  const given = part["image_url"];
  const [holder, key] = isObject(given) ? [given, "url"] : [part, "image_url"];
  const url = holder[key];
  // The URL Standard ignores spaces and control characters before an address.
  const match = typeof url === "string" ? /^[\0- ]*data:([^;,]*)[^,]*; *base64,/i.exec(url.slice(0, 300)) : null;
  if (!match || typeof url !== "string") return undefined;
  const detail = holder["detail"] ?? part["detail"];
  return {
    type: match[1]!.trim().toLowerCase(),
    base64: url.slice(match[0].length).replace(/%[0-9a-f]{2}/gi, (code) => String.fromCharCode(parseInt(code.slice(1), 16))),
    detail: typeof detail === "string" ? detail : undefined,
    replace: (type, base64) => {
      holder[key] = `data:${type};base64,${base64}`;
    },
  };
}

/** `{type: "image", source: {type: "base64", media_type, data}}` */
function anthropic(part: Json): ImagePart | undefined {
  const source = part["source"];
  if (part["type"] !== "image" || !isObject(source) || typeof source["data"] !== "string") return undefined;
  const asked = part["transformations"];
  if (isObject(asked) && asked["oversized_image"] === "error") return undefined; // it must not be shrunk
  return {
    type: String(source["media_type"] ?? "").trim().toLowerCase(),
    base64: source["data"],
    detail: undefined,
    replace: (type, base64) => {
      source["media_type"] = type;
      source["data"] = base64;
    },
  };
}

/** `{inlineData: {mimeType, data}}`, in either spelling of each key */
function gemini(part: Json): ImagePart | undefined {
  const inline = part["inlineData"] ?? part["inline_data"];
  return isObject(inline) ? bare(inline, resolutionOf(part)) : undefined;
}

/** `{type: "image", data, mime_type, resolution}` of Gemini's interactions, `{type: "image", data, mimeType}` of MCP */
function typed(part: Json): ImagePart | undefined {
  const { type, resolution } = part;
  return type === "image" ? bare(part, typeof resolution === "string" ? resolution : undefined) : undefined;
}

/** An image in the keys data and mimeType or mime_type of an object. */
function bare(holder: Json, detail: string | undefined): ImagePart | undefined {
  const { data } = holder;
  const key = "mime_type" in holder ? "mime_type" : "mimeType";
  const type = String(holder[key] ?? "").trim().toLowerCase();
  if (typeof data !== "string" || !type.startsWith("image/")) return undefined; // sound and video, too
  return {
    type,
    base64: data,
    detail,
    replace: (type, base64) => {
      holder[key] = type;
      holder["data"] = base64;
    },
  };
}

/** Gemini's level of detail, as in the table of models. */
function resolutionOf(holder: unknown): string | undefined {
  if (!isObject(holder)) return undefined;
  const given = holder["mediaResolution"] ?? holder["media_resolution"];
  const level = isObject(given) ? given["level"] : given;
  return typeof level === "string" ? level.toLowerCase().replace(/^media_resolution_/, "") : undefined;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): Json[] {
  return (Array.isArray(value) ? value : [value]).filter(isObject);
}
