// The public functions in Node, on files that Python makes (fixtures.py), and back.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

import * as cotam from "cotam";
import { crc32 } from "../dist/format/checks.js";
import { headerFields, readFile, readHeader, writeFile } from "../dist/format/header.js";
import { readSequence } from "../dist/format/sequence.js";
import { bytes, fixture, FIXTURES, fixtures, GOLDEN, python, readPng, WEIGHTS } from "./files.mjs";
import { mutated } from "./mutations.mjs";
import { difference, picture } from "./pictures.mjs";

const OUT = new URL("../build/written/", import.meta.url).pathname;

before(() => {
  python("make", FIXTURES);
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
});

const opaque = (name) => readPng(`${FIXTURES}${name}.png`);

test("files of every kind decode to the pixels of Python", async () => {
  for (const [name, { kind, width, height, view, frames, earlier }] of Object.entries(fixtures())) {
    const data = fixture(name);
    const info = cotam.info(data);
    assert.deepEqual([info.kind, info.width, info.height, info.bytes], [kind, width, height, data.length], name);
    const expected = bytes(`${FIXTURES}${name}.rgb`).subarray(0, 3 * width * height);
    const found = await cotam.decode(data, { view, earlier: earlier ? [fixture(earlier)] : [] });
    assert.deepEqual([found.width, found.height], [width, height], name);
    const { largest, mean } = difference(found.data, expected);
    // Floats are summed in another order here, and what is rounded to integers after them may differ by one.
    if (kind === "lossless") assert.equal(largest, 0, name);
    const [most, average] = kind === "av1" ? [12, 0.5] : [8, 0.3]; // another conversion to RGB
    assert.ok(largest <= most && mean < average, `${name}: ${largest} off at most, ${mean} on average`);
    assert.equal(info.frames, frames);
  }
});

for (const name of ["sequence", "screens"]) {
  test(`the frames of ${name} decode in order`, async () => {
    const { width, height, frames } = fixtures()[name];
    const expected = bytes(`${FIXTURES}${name}.rgb`);
    const times = [];
    for await (const frame of cotam.decodeFrames(fixture(name))) {
      const at = times.push(frame.time) - 1;
      const size = 3 * width * height;
      const { largest, mean } = difference(frame.data, expected.subarray(at * size, (at + 1) * size));
      assert.ok(largest <= 8 && mean < 0.3, `frame ${at}: ${largest} off at most, ${mean} on average`);
    }
    assert.deepEqual(times, Array.from({ length: frames }, (_, i) => i / 5));
    assert.equal(cotam.info(fixture(name)).duration, (frames - 1) / 5);
  });

  test(`a damaged frame of ${name} has the error of Python, which names it`, async () => {
    const { frame_damage: places, frames } = fixtures()[name];
    assert.equal(places.length, frames);
    for (const { at, error: expected } of places) {
      const data = fixture(name).slice();
      data[at] ^= 255;
      const decodeAll = async () => {
        for await (const frame of cotam.decodeFrames(data)) assert.ok(frame.data.length);
      };
      await assert.rejects(decodeAll(), (error) => assert.equal(`${error.name}: ${error.message}`, expected) ?? true);
    }
  });

  test(`damaged and cut files of ${name} have the errors of Python`, () => {
    const whole = fixture(name);
    for (const { at, errors } of fixtures()[name].damage) {
      const changed = whole.slice();
      changed[at] ^= 255;
      for (const [i, data] of [whole.slice(0, at), changed].entries()) {
        let found = "";
        try {
          Array.from(readSequence(data).frames);
        } catch (error) {
          found = `${error.name}: ${error.message}`;
        }
        assert.equal(found, errors[i], `byte ${at}`);
      }
    }
  });
}

test("frames that no encoder writes have the errors of Python", async () => {
  const { refused } = fixtures().screens;
  assert.equal(refused.length, 8);
  for (const { hex: file, error: expected } of refused) {
    const decodeAll = async () => {
      for await (const frame of cotam.decodeFrames(Uint8Array.from(Buffer.from(file, "hex")))) assert.ok(frame);
    };
    await assert.rejects(decodeAll(), (error) => assert.equal(`${error.name}: ${error.message}`, expected) ?? true);
  }
});

test("only what users need is public", () => {
  const functions = "allModels decode decodeFrames encode findModel fitSize gatewayFetch hostedFetch info load seenBy";
  assert.deepEqual(Object.keys(cotam).filter((name) => !name.endsWith("Error")), functions.split(" "));
});

test("leaving a sequence early does no harm", async () => {
  for await (const frame of cotam.decodeFrames(fixture("sequence"))) {
    assert.equal(frame.time, 0);
    break;
  }
  assert.equal((await cotam.decode(fixture("dot"))).width, 1);
});

test("what is encoded here, Python decodes, with as few bytes", async () => {
  const sizes = {};
  for (const [name, quality] of [["photo", 40], ["dot", 40], ["tiles", 40]]) {
    const data = await cotam.encode(opaque(name), { quality, profile: "mllm", guide: "none" });
    sizes[name] = [data.length, fixture(name).length];
    writeFileSync(`${OUT}${name}.cotam`, data);
    copyFileSync(`${FIXTURES}${name}.png`, `${OUT}${name}.png`);
  }
  const found = JSON.parse(python("check", OUT));
  for (const [name, [ours, theirs]] of Object.entries(sizes)) {
    const { width, height } = fixtures()[name];
    assert.deepEqual(found[name].size, [width, height]);
    assert.ok(Math.abs(ours - theirs) <= Math.max(8, 0.01 * theirs), `${name}: ${ours} bytes, ${theirs} in Python`);
    assert.ok(found[name].psnr > 22, `${name}: ${found[name].psnr} dB`);
  }
});

test("flat graphics are coded as AV1, which Python decodes, with errors like its own", async () => {
  const image = opaque("screenshot");
  for (const [name, options] of Object.entries({ screen: { quality: 40 }, small: { targetSize: 7000 } })) {
    const data = await cotam.encode(image, options);
    assert.equal(cotam.info(data).kind, "av1");
    assert.ok(data.length <= (options.targetSize ?? 14_000), `${data.length} bytes`);
    assert.equal((await cotam.decode(data)).width, image.width);
    writeFileSync(`${OUT}${name}.cotam`, data);
  }
  copyFileSync(`${FIXTURES}screenshot.cotam`, `${OUT}theirs.cotam`);
  for (const name of ["screen", "small", "theirs"]) copyFileSync(`${FIXTURES}screenshot.png`, `${OUT}${name}.png`);
  const { screen, small, theirs } = JSON.parse(python("check", OUT));
  assert.ok(small.psnr > 15, `${small.psnr} dB`);
  assert.ok(screen.error < 1.9 * theirs.error, `${screen.error}, in Python ${theirs.error}`);
});

test("a file fits its target size, with fewer pixels if need be", async () => {
  const image = opaque("photo");
  const roomy = await cotam.encode(image, { targetSize: 2500 });
  assert.ok(roomy.length <= 2500 && roomy.length > 2200, `${roomy.length} bytes`);
  const tight = await cotam.encode(image, { targetSize: 200 });
  assert.ok(tight.length <= 200);
  assert.ok(cotam.info(tight).width < image.width);
  await assert.rejects(cotam.encode(picture(1, 1), { targetSize: 10 }), { name: "TargetSizeError" });
});

test("an image is shrunk for a model", async () => {
  const image = picture(700, 600);
  const file = cotam.info(await cotam.encode(image, { for: "llava-1.5", quality: 0 }));
  const { width, height } = cotam.fitSize("llava-1.5", 700, 600);
  assert.deepEqual([file.width, file.height], [width, height]);
  assert.ok(width < 700);
  await assert.rejects(cotam.encode(image, { for: "no such model" }), { name: "InputError" });
});

test("transparent pixels lie on white", async () => {
  const image = picture(64, 64);
  image.data.fill(0);
  const { data } = await cotam.decode(await cotam.encode(image));
  assert.ok(data.every((value) => value > 250));
});

test("what is no image, or no option, is an error that says so", async () => {
  for (const image of [null, 3, "photo.png", {}, { data: new Uint8Array(3), width: 1, height: 1 }, new Blob(["x"])]) {
    await assert.rejects(cotam.encode(image), (error) => error instanceof cotam.CotamError);
  }
  const image = picture(8, 8);
  for (const quality of [-1, 101, 1.5, NaN, "50"]) {
    await assert.rejects(cotam.encode(image, { quality }), { name: "InputError", message: /0 to 100/ });
  }
  const messages = {
    "targetSize must be a whole number above 0, got 0": { targetSize: 0 },
    "quality must be a whole number from 0 to 100, got '50'": { quality: "50" },
    "unknown profile 'base': choose from auto, mllm, page": { profile: "base" },
    "for must be the name of a model, got 5": { for: 5 },
    "for must be the name of a model, got null": { for: null },
  };
  for (const [message, options] of Object.entries(messages)) {
    await assert.rejects(cotam.encode(image, options), { name: "InputError", message });
  }
  await assert.rejects(cotam.load({ weights: "./set/" }), {
    name: "InputError",
    message: "weights must be the URL of a folder, got './set/'",
  });
  await assert.rejects(cotam.decode("x"), { name: "InputError" });
  await assert.rejects(cotam.decode(fixture("dot"), { view: "cat" }), { name: "InputError" });
  await assert.rejects(cotam.decode(fixture("patch")), { name: "InputError", message: /earlier/ });
});

test("depths of patches are those of their chain", async () => {
  const { header, payload } = readFile(fixture("patch"));
  const changed = payload.slice();
  changed[32] += 1;
  const patch = writeFile(header, changed, crc32(changed, crc32(headerFields(header))));
  await assert.rejects(cotam.decode(patch, { earlier: [fixture("photo")] }), {
    name: "FormatError",
    message: "the patch is number 2 of its chain, its base has another number",
  });
});

test("a page decodes without being told, and sets are loaded from anywhere", async () => {
  const page = bytes(`${GOLDEN}page.cotam`);
  assert.equal((await cotam.decode(page)).width, 150);
  const seen = [];
  await cotam.load({ weights: new URL("mllm", WEIGHTS), onProgress: ({ loaded, total }) => seen.push([loaded, total]) });
  assert.ok(seen.length === 0 || seen.at(-1)[0] === seen.at(-1)[1]);
  await cotam.load({ profile: "page" });
  await assert.rejects(cotam.load({ weights: new URL("no_such_set", WEIGHTS) }), { name: "CotamError" });
  for (const text of ["<!doctype html>", "{}", "null"]) { // as servers of applications answer
    writeFileSync(`${OUT}manifest.json`, text);
    const message = /manifest\.json is not that of a weight set/;
    await assert.rejects(cotam.load({ weights: pathToFileURL(OUT) }), { name: "UnknownWeightsError", message });
  }
  await assert.rejects(cotam.load({ profile: "base" }), { name: "InputError" });
});

test("views of a large buffer cross to the worker alone", async (t) => {
  const sent = [];
  const { postMessage } = Worker.prototype;
  t.mock.method(Worker.prototype, "postMessage", function (message, ...more) {
    const { file, image } = message.arguments ?? {};
    if (file ?? image) sent.push((file ?? image.data).buffer.byteLength);
    return postMessage.call(this, message, ...more);
  });
  const shard = new Uint8Array(1e6);
  const data = fixture("dot");
  shard.set(data, 100);
  await cotam.decode(shard.subarray(100, 100 + data.length));
  await cotam.encode({ data: shard.subarray(500_000, 500_004), width: 1, height: 1 });
  await cotam.encode({ data: Buffer.from(shard.buffer, 500_000, 4), width: 1, height: 1 });
  assert.deepEqual(sent, [data.length, 4, 4]);
});

test("a file of a set that is not loaded says which it is, and how to load it", async () => {
  const data = fixture("dot");
  const header = readHeader(data);
  const foreign = writeFile({ ...header, weights: "ffff" }, data.slice(header.payloadStart), header.checksum);
  await assert.rejects(cotam.decode(foreign), { name: "UnknownWeightsError", message: /set ffff.*load\(\{ weights/ });
});

test("a job that is aborted ends at once, and others go on", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const first = cotam.encode(picture(800, 800), { signal: controller.signal }); // takes far longer than 50 ms
  const second = cotam.encode(picture(16, 16));
  setTimeout(() => controller.abort(reason), 50);
  await assert.rejects(first, reason);
  assert.equal(cotam.info(await second).width, 16);
  await assert.rejects(cotam.decode(fixture("dot"), { signal: AbortSignal.abort(reason) }), reason);
});

test("1,000 damaged files end in errors or in an image, and none hangs", { timeout: 1_800_000 }, async () => {
  const names = ["photo", "levels", "dot", "colours", "smooth", "noise", "patch", "sequence", "screens", "av1"];
  const outcomes = {};
  let slowest = 0;
  for (let number = 0; number < 1000; number++) {
    const name = names[number % names.length];
    const { name: kind, data } = mutated(fixture(name), number);
    const start = performance.now();
    try {
      await cotam.decode(data, { earlier: [fixture("photo")] });
      outcomes.image = (outcomes.image ?? 0) + 1;
    } catch (error) {
      assert.ok(error instanceof cotam.CotamError, `${name} ${kind} ${number}: ${error.stack}`);
      outcomes[error.name] = (outcomes[error.name] ?? 0) + 1;
    }
    slowest = Math.max(slowest, performance.now() - start);
    assert.ok(slowest < 300_000, `${name} ${kind} ${number} took ${slowest} ms`);
  }
  assert.ok(outcomes.DamagedError > 200 && outcomes.FormatError > 20 && outcomes.TruncatedError > 20, JSON.stringify(outcomes));
  assert.ok(process.memoryUsage().rss < 3e9);
});

after(() => rmSync(OUT, { recursive: true, force: true }));
