// gatewayFetch under the real clients, to a real gateway; both wrappers of fetch in Chromium.
import Anthropic from "@anthropic-ai/sdk";
import { build } from "esbuild";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import OpenAI from "openai";
import { launch } from "puppeteer-core";
import sharp from "sharp";

import { gatewayFetch, hostedFetch, InputError } from "cotam";
import { block, difference, filesOf, sample, small, turn, typed, url } from "./requests.mjs";
import { counted, fileServer, gateway, images, modelServer } from "./servers.mjs";

const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
const skip = CHROMIUM ? false : "no Chromium: set CHROMIUM to its path";

let model, serve, link;

before(async () => {
  model = await modelServer();
  serve = await gateway(model.url, "--token", "s3cret");
  link = await counted(serve.url);
});

after(() => {
  for (const one of [link, serve, model]) one?.close();
});

const openai = (options) => new OpenAI({ baseURL: `${link.url}/v1`, apiKey: "key", maxRetries: 0, ...options });
const anthropic = (options) => new Anthropic({ baseURL: link.url, apiKey: "key", maxRetries: 0, ...options });

/** An image file in the last request to the model. */
const sentFile = (number = 0) => filesOf(model.requests.at(-1).body)[number];
const pixels = (number = 0) => sharp(sentFile(number)).metadata();

test("OpenAI's client: fewer bytes on the wire than JPEG 85, and the answer", { timeout: 1_800_000 }, async (t) => {
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

test("a chat: streamed, by responses, and each image encoded once", { timeout: 1_800_000 }, async () => {
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

test("Anthropic's client, with an image in a tool's result", { timeout: 1_800_000 }, async () => {
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

test("--for auto: the size that the model sees, at the detail asked for", { timeout: 1_800_000 }, async () => {
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
  // Anthropic's API is to refuse it: coordinates in a smaller one would be wrong.
  const exact = { ...block("jpeg", small), transformations: { oversized_image: "error" } };
  const kept = [turn(broken), { model: "m", input: "text" }, { messages: [{ role: "user", content: [exact] }] }];
  for (const body of [...kept.map((value) => JSON.stringify(value)), "no JSON", "null"]) {
    await wrapped("http://a", { method: "POST", body });
    assert.equal(bodies.at(-1), body);
  }
  assert.equal(warnings.length, 1);
  const body = JSON.stringify(turn(url("jpeg", small)));
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(wrapped("http://a", { method: "POST", body, signal }), /enough/);
});

test("Gemini's interactions, and results of MCP tools in all APIs", { timeout: 1_800_000 }, async () => {
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

test("requests without images have the token, too", async () => {
  const client = openai({ fetch: gatewayFetch({ token: "s3cret" }) });
  await client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Hello." }] });
  assert.equal(model.requests.at(-1).body.messages[0].content, "Hello.");
  const asked = new Request(`${link.url}/v1/chat/completions`, { method: "POST", headers: { "X-Mine": "1" }, body: "{}" });
  await gatewayFetch({ token: "s3cret" })(asked);
  assert.equal(model.requests.at(-1).headers["x-mine"], "1");
});

test("images in a Request are encoded, too", async () => {
  const body = JSON.stringify(turn(url("jpeg", small)));
  const headers = { "content-type": "application/json" };
  const asked = new Request(`${link.url}/v1/chat/completions`, { method: "POST", headers, body });
  await gatewayFetch({ token: "s3cret" })(asked);
  assert.match(JSON.stringify(model.requests.at(-1).body), /data:image\/png;base64/); // the gateway decodes
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(gatewayFetch({ token: "s3cret" })(new Request(asked.url, { method: "POST", headers, body, signal })), /enough/);
});

test("options are checked at once", () => {
  assert.throws(() => gatewayFetch({ quality: 101 }), InputError);
  assert.throws(() => gatewayFetch({ targetSize: -1 }), InputError);
  const name = "InputError";
  assert.throws(() => hostedFetch({ for: "gpt4o" }), { name, message: /did you mean gpt-4o/ });
  assert.throws(() => hostedFetch({ quality: 90 }), { name, message: "quality must be a number from 0 to 1, got 90" });
  assert.throws(() => hostedFetch({ format: "avif" }), { name, message: "unknown format 'avif': choose from jpeg, webp, png" });
});

test("OpenAI's client in Chromium: the answer, and fewer bytes on the wire than JPEG 85", { skip, timeout: 1_800_000 }, async (t) => {
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
  const browser = await launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"], timeout: 600_000, protocolTimeout: 1_800_000 });
  try {
    const tab = await browser.newPage();
    tab.setDefaultTimeout(600_000);
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
