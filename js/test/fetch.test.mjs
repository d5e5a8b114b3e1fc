// The wrappers of fetch under the real clients: to a real gateway, and to a server that stands for a vendor's API.
import Anthropic from "@anthropic-ai/sdk";
import { build } from "esbuild";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { launch } from "puppeteer-core";
import sharp from "sharp";

import { fitSize, gatewayFetch, hostedFetch, InputError } from "cotam";
import { counted, fileServer, gateway, images, modelServer } from "./servers.mjs";

const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
const skip = CHROMIUM ? false : "no Chromium: set CHROMIUM to its path";
const SAMPLES = fileURLToPath(new URL("../../samples/", import.meta.url));
const sample = (name) => sharp(`${SAMPLES}${name}.webp`);
const small = await sample("kodim15").resize(300, 200).jpeg({ quality: 85 }).toBuffer();
const url = (type, file) => `data:image/${type};base64,${file.toString("base64")}`;
const content = (...urls) => [{ type: "text", text: "What is it?" }, ...urls.map((url) => ({ type: "image_url", image_url: { url } }))];
const turn = (...urls) => ({ model: "m", messages: [{ role: "user", content: content(...urls) }] });
const block = (type, file) => ({ type: "image", source: { type: "base64", media_type: `image/${type}`, data: file.toString("base64") } });

let model, serve, link;

before(async () => {
  model = await modelServer();
  serve = await gateway(model.url, "--token", "s3cret");
  link = await counted(serve.url);
});

after(() => {
  for (const one of [link, serve, model]) one?.close();
});

function openai(options, base = link.url) {
  return new OpenAI({ baseURL: `${base}/v1`, apiKey: "key", maxRetries: 0, ...options });
}

function anthropic(options, base = link.url) {
  return new Anthropic({ baseURL: base, apiKey: "key", maxRetries: 0, ...options });
}

/** An image file in the last request to the model. */
function sentFile(number = 0) {
  const found = [];
  JSON.stringify(model.requests.at(-1).body, (key, value) => {
    const data = /^data:image\/\w+;base64,(.*)/.exec(value?.url ?? value)?.[1] ?? (value?.type === "base64" ? value.data : null);
    if (data && key !== "image_url") found.push(Buffer.from(data, "base64"));
    return value;
  });
  return found[number];
}

async function pixels(number = 0) {
  return sharp(sentFile(number)).metadata();
}

test("OpenAI's client: fewer bytes on the wire than JPEG 85, and the answer", { timeout: 600_000 }, async (t) => {
  const photo = await sample("kodim15").jpeg({ quality: 85 }).toBuffer();
  link.sent();
  await openai({ defaultHeaders: { "X-Cotam-Token": "s3cret" } }).chat.completions.create(turn(url("jpeg", photo)));
  const plain = link.sent();
  const client = openai({ fetch: gatewayFetch({ token: "s3cret", quality: 40 }) });
  const answer = await client.chat.completions.create(turn(url("jpeg", photo)));
  const ours = link.sent();
  t.diagnostic(`768 × 512: ${plain} bytes on the wire as JPEG 85, ${ours} as .cotam at quality 40`);
  assert.ok(ours < plain / 4);
  const [seen] = JSON.parse(answer.choices[0].message.content);
  assert.equal(seen.type, "image/png"); // the gateway decodes
  const { headers, body } = model.requests.at(-1);
  assert.equal(headers["x-cotam-token"], undefined);
  const decoded = sharp(Buffer.from(body.messages[0].content[1].image_url.url.split(",")[1], "base64"));
  const [a, b] = await Promise.all([decoded, sharp(photo)].map((image) => image.removeAlpha().raw().toBuffer()));
  assert.equal(a.length, b.length);
  const error = a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / a.length;
  assert.ok(10 * Math.log10(255 ** 2 / error) > 25);
});

test("a chat: streamed, by responses, and each image encoded once", { timeout: 600_000 }, async () => {
  let decoded = 0;
  const codec = {
    decode: async (file) => {
      decoded++;
      const { data, info } = await sharp(file).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
      return { data, width: info.width, height: info.height };
    },
  };
  const client = openai({ fetch: gatewayFetch({ token: "s3cret", codec }) });
  const stream = await client.chat.completions.create({ ...turn(url("jpeg", small)), stream: true });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
  const [first] = JSON.parse(text);
  const input = [{ role: "user", content: [{ type: "input_image", detail: "auto", image_url: url("jpeg", small) }] }];
  const response = await client.responses.create({ model: "m", input });
  assert.deepEqual(JSON.parse(response.output_text), [first]); // the same bytes in every turn
  assert.equal(decoded, 1);
});

test("Anthropic's client, with an image in a tool's result", { timeout: 600_000 }, async () => {
  const client = anthropic({ fetch: gatewayFetch({ token: "s3cret", targetSize: 3000 }) });
  link.sent();
  const messages = [
    { role: "user", content: "Look." },
    { role: "assistant", content: [{ type: "tool_use", id: "1", name: "look", input: { image_url: url("jpeg", small) } }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "1", content: [block("jpeg", small)] }] },
  ];
  const answer = await client.messages.create({ model: "m", max_tokens: 9, messages });
  const [argument, seen] = JSON.parse(answer.content[0].text);
  assert.equal(argument.type, "image/jpeg"); // an argument of a tool is nobody's image
  assert.equal(seen.type, "image/png");
});

test("--for auto: the size that the model sees, at the detail asked for", { timeout: 600_000 }, async () => {
  const client = openai({ fetch: gatewayFetch({ token: "s3cret", quality: 5 }) });
  const large = await sharp({ create: { width: 700, height: 700, channels: 3, background: "#aab" } }).jpeg().toBuffer();
  const image_url = { url: url("jpeg", large), detail: "low" };
  await client.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: [{ type: "image_url", image_url }] }] });
  const { width, height } = await pixels();
  assert.deepEqual([width, height], [512, 512]);
});

test("what cannot be read passes with a warning, what has no image as it is, and an abort ends the work", async () => {
  const warnings = [];
  const broken = `data:image/png;base64,${Buffer.from("no image").toString("base64")}`;
  const bodies = [];
  const send = async (input, init) => {
    bodies.push(init.body);
    return new Response("{}");
  };
  const wrapped = gatewayFetch({ fetch: send, onWarning: (error) => warnings.push(String(error)) });
  for (const body of [JSON.stringify(turn(broken)), JSON.stringify({ model: "m", input: "text" }), "no JSON", "null"]) {
    await wrapped("http://a", { method: "POST", body });
    assert.equal(bodies.at(-1), body);
  }
  assert.equal(warnings.length, 1);
  const body = JSON.stringify(turn(url("jpeg", small)));
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(wrapped("http://a", { method: "POST", body, signal }), /enough/);
});

test("hosted: an image of the right size, format and bytes passes to the byte", async () => {
  const client = anthropic({ fetch: hostedFetch() }, model.url);
  await client.messages.create({ model: "claude-opus-4-7", max_tokens: 9, messages: [{ role: "user", content: [block("jpeg", small)] }] });
  assert.deepEqual(images(model.requests.at(-1).body), images(block("jpeg", small)));
});

test("hosted: the size that Claude sees; 2000 pixels above 20 images; a PNG stays one where that is smaller", async () => {
  const screen = await sharp({ create: { width: 3840, height: 2160, channels: 3, background: "#fff" } }).png().toBuffer();
  const client = anthropic({ fetch: hostedFetch() }, model.url);
  for (const count of [1, 21]) {
    const many = Array.from({ length: count }, () => block("png", screen));
    await client.messages.create({ model: "claude-opus-4-7", max_tokens: 9, messages: [{ role: "user", content: many }] });
    const { width, height, format } = await pixels(count - 1);
    const fitted = fitSize("claude-opus-4-7", 3840, 2160, { images: count });
    assert.deepEqual([width, height, format], [fitted.width, fitted.height, "png"]);
  }
});

test("hosted: a JPEG that is shrunk for the API does not grow", async () => {
  const large = await sample("kodim15").resize(2400, 1600).jpeg({ quality: 60 }).toBuffer();
  const many = [block("jpeg", large), ...Array.from({ length: 20 }, () => block("jpeg", small))];
  const client = anthropic({ fetch: hostedFetch() }, model.url);
  await client.messages.create({ model: "claude-opus-4-7", max_tokens: 9, messages: [{ role: "user", content: many }] });
  assert.equal((await pixels()).width, 2000);
  assert.ok(sentFile().length <= large.length);
});

test("hosted: formats that an API lacks, wrong types, orientation, and limits of bytes", { timeout: 300_000 }, async () => {
  const client = openai({ fetch: hostedFetch({ quality: 0.8 }) }, model.url);
  const ask = async (name, type, file) => {
    await client.chat.completions.create({ ...turn(url(type, file)), model: name });
    return { ...images(model.requests.at(-1).body)[0], ...(await pixels()) };
  };
  const webp = await sharp(small).webp().toBuffer();
  assert.equal((await ask("grok-4", "webp", webp)).format, "jpeg");
  assert.equal((await ask("gpt-4o", "png", webp)).type, "image/webp");
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
  const bedrock = anthropic({ fetch: hostedFetch() }, model.url);
  const messages = [{ role: "user", content: [block("png", noise)] }];
  await bedrock.messages.create({ model: "us.anthropic.claude-opus-4-7-v1:0", max_tokens: 9, messages });
  assert.ok(images(model.requests.at(-1).body)[0].bytes <= limit);
});

test("hosted: Gemini's bodies, with the model in the path and a resolution, and escapes in a data URL", async () => {
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

const typed = (file, key, more) => ({ type: "image", data: file.toString("base64"), [key]: "image/jpeg", ...more });

test("Gemini's interactions, and results of MCP tools in all APIs", { timeout: 600_000 }, async () => {
  const shown = typed(small, "mime_type");
  const noted = typed(small, "mimeType", { annotations: { audience: ["user"] } });
  const input = [
    { type: "user_input", content: [{ type: "text", text: "Look." }, shown] },
    { type: "function_call", id: "f", name: "look", arguments: { content: [shown] } },
    { type: "function_result", call_id: "f", result: [shown] },
    { type: "mcp_server_tool_result", call_id: "m", result: { content: [noted] } },
    { type: "mcp_call", id: "m", name: "look", output: [noted] },
    shown,
  ];
  const send = gatewayFetch({ token: "s3cret" });
  for (const path of ["/v1/interactions", "/v1beta/interactions", "/v1/responses"]) {
    const headers = { "content-type": "application/json" };
    await send(`${link.url}${path}`, { method: "POST", headers, body: JSON.stringify({ model: "m", input }) });
    const { path: asked, body } = model.requests.at(-1);
    assert.equal(asked.split("?")[0], path);
    const types = images(body.input).map(({ type }) => type.slice(6)); // the gateway decodes .cotam to PNG
    assert.deepEqual(types, ["png", "jpeg", "png", "png", "png", "png"]); // an argument of a tool is nobody's image
    const [changed] = body.input[3].result.content;
    assert.deepEqual({ ...changed, data: "" }, { ...noted, data: "", mimeType: "image/png" });
    assert.deepEqual(Object.keys(body.input[0].content[1]), Object.keys(shown));
  }
});

test("hosted: the size of an interaction's resolution; what is no typed image passes as it is", async () => {
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

/** Mean difference of the samples of two files. */
async function difference(...files) {
  const [a, b] = await Promise.all(files.map((file) => sharp(file).toColourspace("srgb").raw().toBuffer()));
  assert.equal(a.length, b.length);
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
}

test("hosted: JPEG files in CMYK or without their end marker are written anew, whatever follows the end", async () => {
  const warnings = [];
  const client = openai({ fetch: hostedFetch({ onWarning: (error) => warnings.push(String(error)) }) }, model.url);
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
    for (const ending of ["", "\xff"]) {
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
  const cut = small.subarray(0, small.length / 2); // lacks pixels
  assert.ok((await ask(cut)).equals(cut));
  assert.equal(warnings.length, 1);
});

test("options are checked at once", () => {
  assert.throws(() => gatewayFetch({ quality: 101 }), InputError);
  assert.throws(() => hostedFetch({ for: "gpt4o" }), /did you mean gpt-4o/);
});

test("OpenAI's client in Chromium: the answer, and fewer bytes on the wire than JPEG 85", { skip, timeout: 600_000 }, async (t) => {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const { outputFiles } = await build({
    stdin: { contents: 'export { default as OpenAI } from "openai"; export * from "cotam";', resolveDir: root },
    alias: { cotam: `${root}dist/browser.js` },
    bundle: true,
    format: "esm",
    write: false,
  });
  const page = await fileServer(root, { "dist/page.js": outputFiles[0].text });
  const open = await gateway(model.url, "--allow-origin", page.url, "--token", "s3cret");
  const wire = await counted(open.url);
  const browser = await launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"], protocolTimeout: 600_000 });
  try {
    const tab = await browser.newPage();
    await tab.goto(page.url);
    const photo = url("jpeg", await sample("kodim15").jpeg({ quality: 85 }).toBuffer());
    const ask = (body, wrapper) =>
      tab.evaluate(
        async (body, baseURL, wrapper) => {
          const { OpenAI, ...cotam } = await import("/dist/page.js");
          const options = wrapper && { fetch: cotam[wrapper]({ quality: wrapper === "gatewayFetch" ? 40 : 0.8 }) };
          const defaultHeaders = { "X-Cotam-Token": "s3cret" };
          const client = new OpenAI({ baseURL, apiKey: "key", dangerouslyAllowBrowser: true, maxRetries: 0, defaultHeaders, ...options });
          return (await client.chat.completions.create(body)).choices[0].message.content;
        },
        body,
        `${wire.url}/v1`,
        wrapper,
      );
    wire.sent();
    const [plain] = JSON.parse(await ask(turn(photo), null));
    const before = wire.sent();
    const [ours] = JSON.parse(await ask(turn(photo), "gatewayFetch"));
    const after = wire.sent();
    t.diagnostic(`768 × 512 in Chromium: ${before} bytes on the wire as JPEG 85, ${after} as .cotam at quality 40`);
    assert.deepEqual([plain.type, ours.type], ["image/jpeg", "image/png"]);
    assert.ok(after < before / 4);
    const { width, height } = await pixels();
    assert.deepEqual([width, height], [768, 512]);

    const image_url = { url: photo, detail: "low" }; // sized by a canvas
    await ask({ model: "gpt-4o", messages: [{ role: "user", content: [{ type: "image_url", image_url }] }] }, "hostedFetch");
    const sized = await pixels();
    assert.deepEqual([sized.width, sized.height, sized.format], [512, 341, "jpeg"]);
    const cmyk = await sharp(small).toColourspace("cmyk").jpeg().toBuffer();
    for (const file of [cmyk, small.subarray(0, -2)]) {
      await ask({ ...turn(url("jpeg", file)), model: "gpt-4o" }, "hostedFetch");
      assert.deepEqual([(await pixels()).space, ...sentFile().subarray(-2)], ["srgb", 0xff, 0xd9]);
      assert.ok((await difference(sentFile(), small)) < 25); // a negative differs by 157
    }
    const cut = small.subarray(0, -1000); // lacks pixels
    await ask({ ...turn(url("jpeg", cut)), model: "gpt-4o" }, "hostedFetch");
    assert.ok(sentFile().equals(cut));
    for (const type of ["jpeg", "png", "webp"]) {
      for (let orientation = 2; orientation <= 8; orientation++) {
        const turned = await sharp(small).withMetadata({ orientation })[type]().toBuffer();
        await ask({ ...turn(url(type, turned)), model: "gpt-4o" }, "hostedFetch");
        const both = [sharp(sentFile()), sharp(turned).rotate()].map((image) => image.resize(30, 30, { fit: "fill" }));
        const [seen, expected] = await Promise.all(both.map((image) => image.removeAlpha().raw().toBuffer()));
        const error = seen.reduce((sum, value, i) => sum + Math.abs(value - expected[i]), 0) / seen.length;
        assert.ok(error < 4, `${type}, orientation ${orientation}: ${error}`);
      }
    }
  } finally {
    await browser.close();
    for (const one of [wire, open, page]) one.close();
  }
});
