// hostedFetch under the real clients, to a server that stands for a vendor's API.
import Anthropic from "@anthropic-ai/sdk";
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import sharp from "sharp";

import { fitSize, hostedFetch } from "cotam";
import { block, difference, filesOf, sample, small, turn, typed, url } from "./requests.mjs";
import { images, modelServer } from "./servers.mjs";

let model;

before(async () => {
  model = await modelServer();
});

after(() => model?.close());

const openai = (options) => new OpenAI({ baseURL: `${model.url}/v1`, apiKey: "key", maxRetries: 0, ...options });
const anthropic = (options) => new Anthropic({ baseURL: model.url, apiKey: "key", maxRetries: 0, ...options });

/** An image file in the last request to the model. */
const sentFile = (number = 0) => filesOf(model.requests.at(-1).body)[number];
const pixels = (number = 0) => sharp(sentFile(number)).metadata();

test("an image of the right size, format and bytes passes to the byte", async () => {
  const client = anthropic({ fetch: hostedFetch() });
  await client.messages.create({ model: "claude-opus-4-7", max_tokens: 9, messages: [{ role: "user", content: [block("jpeg", small)] }] });
  assert.deepEqual(images(model.requests.at(-1).body), images(block("jpeg", small)));
});

test("the size that Claude sees; 2000 pixels above 20 images; a PNG stays one where that is smaller", async () => {
  const screen = await sharp({ create: { width: 3840, height: 2160, channels: 3, background: "#fff" } }).png().toBuffer();
  const client = anthropic({ fetch: hostedFetch() });
  for (const count of [1, 21]) {
    const many = Array.from({ length: count }, () => block("png", screen));
    await client.messages.create({ model: "claude-opus-4-7", max_tokens: 9, messages: [{ role: "user", content: many }] });
    const { width, height, format } = await pixels(count - 1);
    const fitted = fitSize("claude-opus-4-7", 3840, 2160, { images: count });
    assert.deepEqual([width, height, format], [fitted.width, fitted.height, "png"]);
  }
});

test("a JPEG that is shrunk for the API does not grow", async () => {
  const large = await sample("kodim15").resize(2400, 1600).jpeg({ quality: 60 }).toBuffer();
  const many = [block("jpeg", large), ...Array.from({ length: 20 }, () => block("jpeg", small))];
  const client = anthropic({ fetch: hostedFetch() });
  await client.messages.create({ model: "claude-opus-4-7", max_tokens: 9, messages: [{ role: "user", content: many }] });
  assert.equal((await pixels()).width, 2000);
  assert.ok(sentFile().length <= large.length);
});

test("the first frame of an animation, and a still GIF or WebP as it is", async () => {
  const client = openai({ fetch: hostedFetch() });
  const frames = [0, 90].map((hue) => sharp(small).modulate({ hue }).png().toBuffer());
  const join = { join: { animated: true } };
  for (const type of ["gif", "webp"]) {
    const still = await sharp(small)[type]().toBuffer();
    const animated = await sharp(await Promise.all(frames), join)[type]().toBuffer();
    assert.equal((await sharp(animated).metadata()).pages, 2);
    for (const file of [still, animated]) {
      await client.chat.completions.create({ ...turn(url(type, file)), model: "gpt-4o" });
      assert.equal((await pixels()).format, file === still ? type : "jpeg");
      if (file === still) assert.deepEqual(sentFile(), still);
      assert.ok((await difference(sentFile(), await frames[0])) < 8);
    }
  }
});

test("formats that an API lacks, wrong types, orientation, and limits of bytes", { timeout: 1_800_000 }, async () => {
  const client = openai({ fetch: hostedFetch({ quality: 0.8 }) });
  const ask = async (name, type, file) => {
    await client.chat.completions.create({ ...turn(url(type, file)), model: name });
    return { ...images(model.requests.at(-1).body)[0], ...(await pixels()) };
  };
  const webp = await sharp(small).webp().toBuffer();
  assert.equal((await ask("grok-4", "webp", webp)).format, "jpeg");
  assert.equal((await ask("gpt-4o", "png", webp)).type, "image/webp");
  assert.equal((await ask("gpt-4o", "tiff", await sharp(small).tiff().toBuffer())).format, "jpeg");
  for (const type of ["jpeg", "png", "webp"]) {
    const turned = await sharp(small).withMetadata({ orientation: 6 })[type]().toBuffer();
    const { width, height, orientation } = await ask("gpt-4o", type, turned);
    assert.deepEqual([type, width, height, orientation ?? 1], [type, 200, 300, 1]);
    const upright = await sharp(small).withMetadata({ orientation: 1 })[type]().toBuffer();
    assert.deepEqual((await ask("gpt-4o", type, upright)).bytes, upright.length);
  }

  const noise = await sharp({ create: { width: 2400, height: 2000, channels: 3, noise: { type: "gaussian", mean: 128, sigma: 60 } } })
    .png({ compressionLevel: 0 })
    .toBuffer();
  const limit = 3_750_000; // Bedrock's for Claude, in the table of models
  assert.ok(noise.length > limit);
  const bedrock = anthropic({ fetch: hostedFetch() });
  const messages = [{ role: "user", content: [block("png", noise)] }];
  await bedrock.messages.create({ model: "us.anthropic.claude-opus-4-7-v1:0", max_tokens: 9, messages });
  assert.ok(images(model.requests.at(-1).body)[0].bytes <= limit);
});

test("a file has the type that its codec made: Safari makes PNG in place of WebP", async () => {
  const codec = {
    decode: async (file) => {
      const { data, info } = await sharp(file).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
      return { data, width: info.width, height: info.height };
    },
    encode: ({ data, width, height }, ...size) =>
      sharp(data, { raw: { width, height, channels: 4 } }).resize(...size.slice(0, 2)).png().toBuffer(),
  };
  const client = openai({ fetch: hostedFetch({ codec, format: "webp" }) });
  const tiff = await sharp(small).tiff().toBuffer();
  await client.chat.completions.create({ ...turn(url("tiff", tiff)), model: "gpt-4o" });
  assert.deepEqual([images(model.requests.at(-1).body)[0].type, (await pixels()).format], ["image/png", "png"]);
});

test("what sharp says of a file is one line", async () => {
  const warnings = [];
  const avif = await sharp(small).avif().toBuffer();
  const client = openai({ fetch: hostedFetch({ onWarning: ({ message }) => warnings.push(message) }) });
  await client.chat.completions.create({ ...turn(url("avif", avif.subarray(0, 2000))), model: "gpt-4o" });
  assert.match(warnings.join("; "), /^sharp cannot decode the image: [^\n]+$/);
});

test("Gemini's bodies, with the model in the path and a resolution, and escapes in a data URL", async () => {
  let sent;
  const wrapped = hostedFetch({ fetch: async (_, init) => ((sent = JSON.parse(init.body)), new Response("{}")) });
  const large = await sharp({ create: { width: 3000, height: 2000, channels: 3, background: "#aab" } }).jpeg().toBuffer();
  const data = large.toString("base64");
  const shown = async (base64) => {
    const { width, height } = await sharp(Buffer.from(base64, "base64")).metadata();
    return { width, height };
  };
  const size = (model, detail) => {
    const { width, height } = fitSize(model, 3000, 2000, { detail });
    return { width, height };
  };
  const ask = (model, body) => wrapped(`http://a/v1beta/models/${model}:generateContent`, { method: "POST", body: JSON.stringify(body) });

  const sound = { inlineData: { mimeType: "audio/wav", data: "UklGRg==" } };
  const inner = { functionResponse: { name: "look", response: {}, parts: [{ inline_data: { mime_type: "image/jpeg", data } }] } };
  await ask("gemini-2.5-flash", { contents: [{ role: "user", parts: [{ text: "?" }, sound, inner] }] });
  const [text, same, { functionResponse }] = sent.contents[0].parts;
  assert.deepEqual([text, same], [{ text: "?" }, sound]);
  assert.equal(functionResponse.parts[0].inline_data.mime_type, "image/jpeg");
  assert.deepEqual(await shown(functionResponse.parts[0].inline_data.data), size("gemini-2.5-flash"));

  const low = { mediaResolution: "MEDIA_RESOLUTION_LOW" };
  const part = { inlineData: { mimeType: "image/jpeg", data } };
  const high = { ...part, mediaResolution: { level: "MEDIA_RESOLUTION_HIGH" } };
  await ask("gemini-3-pro", { contents: { parts: [part, high] }, generationConfig: low });
  const sides = await Promise.all(sent.contents.parts.map((one) => shown(one.inlineData.data)));
  assert.deepEqual(sides, [size("gemini-3-pro", "low"), size("gemini-3-pro", "high")]);

  const escaped = ` data:image/jpeg;base64,${encodeURIComponent(data)}`;
  assert.ok(escaped.includes("%2F"));
  await wrapped("http://a/v1/chat/completions", { method: "POST", body: JSON.stringify({ ...turn(escaped), model: "gpt-4o" }) });
  const found = sent.messages[0].content[1].image_url.url.split(",")[1];
  assert.deepEqual(await shown(found), size("gpt-4o"));
});

test("the size of an interaction's resolution; what is no typed image passes as it is", async () => {
  let sent;
  const wrapped = hostedFetch({ fetch: async (_, init) => ((sent = init.body), new Response("{}")) });
  const ask = async (...parts) => {
    const turns = [{ type: "user_input", content: parts }, { type: "function_result", result: { content: parts } }];
    const body = JSON.stringify({ model: "gemini-3-pro", input: turns });
    await wrapped("http://a/v1beta/interactions", { method: "POST", body });
    return body;
  };
  const large = await sharp({ create: { width: 3000, height: 2000, channels: 3, background: "#aab" } }).jpeg().toBuffer();
  await ask(typed(large, "mime_type", { resolution: "low" }));
  const [{ content }, { result }] = JSON.parse(sent).input;
  const { width, height } = fitSize("gemini-3-pro", 3000, 2000, { detail: "low" });
  for (const part of [content[0], result.content[0]]) {
    const seen = await sharp(Buffer.from(part.data, "base64")).metadata();
    assert.deepEqual([part.mime_type, seen.width, seen.height], ["image/jpeg", width, height]);
  }

  const data = large.toString("base64");
  const others = [
    { type: "image", data },
    { type: "image", data, mimeType: "audio/wav" },
    { type: "image", data: [data], mimeType: "image/jpeg" },
    { type: "chart", data, mimeType: "image/jpeg" },
    { data, mimeType: "image/jpeg" },
  ];
  assert.equal(await ask(...others), sent);
  const result2 = { image_url: url("jpeg", large), source: block("jpeg", large).source, content: [block("jpeg", large)] };
  const body = JSON.stringify({ model: "gemini-3-pro", input: [{ type: "function_result", result: result2 }] });
  await wrapped("http://a/v1beta/interactions", { method: "POST", body });
  assert.equal(sent, body); // any object: what it means by other keys is not known
});

test("JPEG files in CMYK or without their end marker are written anew, whatever follows the end", async () => {
  const warnings = [];
  const client = openai({ fetch: hostedFetch({ onWarning: (error) => warnings.push(String(error)) }) });
  const ask = async (file) => {
    await client.chat.completions.create({ ...turn(url("jpeg", file)), model: "gpt-4o" });
    return sentFile();
  };
  const cmyk = await ask(await sharp(small).toColourspace("cmyk").jpeg({ quality: 95 }).toBuffer());
  const { format, space, width, height } = await sharp(cmyk).metadata();
  assert.deepEqual([format, space, width, height], ["jpeg", "srgb", 300, 200]);
  assert.ok((await difference(cmyk, small)) < 25); // a negative differs by 157
  for (const options of [{}, { progressive: true }]) {
    const whole = await sharp(small).jpeg(options).toBuffer();
    for (const ending of ["", "\xff", "\0".repeat(4000)]) {
      const sent = await ask(Buffer.concat([whole.subarray(0, -2), Buffer.from(ending, "latin1")]));
      assert.deepEqual([...sent.subarray(-2)], [0xff, 0xd9]);
      assert.ok((await difference(sent, whole)) < 4);
    }
    for (const ending of ["", "\0".repeat(100), "\xff\xfe\0\0", "a name of a camera"]) {
      const file = Buffer.concat([whole, Buffer.from(ending, "latin1")]);
      assert.ok((await ask(file)).equals(file));
    }
  }
  assert.deepEqual(warnings, []);
  const half = small.subarray(0, small.length / 2); // lacks pixels
  for (const cut of [half, Buffer.concat([half, Buffer.alloc(3 * small.length)])]) {
    assert.ok((await ask(cut)).equals(cut));
    assert.match(warnings.pop() ?? "", /^InputError: /);
  }
});
