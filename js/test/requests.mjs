// Samples, parts of requests, and what is in requests that arrived.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const SAMPLES = fileURLToPath(new URL("../../samples/", import.meta.url));
export const sample = (name) => sharp(`${SAMPLES}${name}.webp`);
export const small = await sample("kodim15").resize(300, 200).jpeg({ quality: 85 }).toBuffer();
export const url = (type, file) => `data:image/${type};base64,${file.toString("base64")}`;
const content = (...urls) => [{ type: "text", text: "What is it?" }, ...urls.map((url) => ({ type: "image_url", image_url: { url } }))];
export const turn = (...urls) => ({ model: "m", messages: [{ role: "user", content: content(...urls) }] });
export const block = (type, file) => ({ type: "image", source: { type: "base64", media_type: `image/${type}`, data: file.toString("base64") } });
export const typed = (file, key, more) => ({ type: "image", data: file.toString("base64"), [key]: "image/jpeg", ...more });

/** The image files in a request. */
export function filesOf(body) {
  const found = [];
  JSON.stringify(body, (key, value) => {
    const data = /^data:image\/\w+;base64,(.*)/.exec(value?.url ?? value)?.[1] ?? (value?.type === "base64" ? value.data : null);
    if (data && key !== "image_url") found.push(Buffer.from(data, "base64"));
    return value;
  });
  return found;
}

/** Mean difference of the samples of two files. */
export async function difference(...files) {
  const [a, b] = await Promise.all(files.map((file) => sharp(file).toColourspace("srgb").raw().toBuffer()));
  assert.equal(a.length, b.length);
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
}
