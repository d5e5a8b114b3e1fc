// The table of models, against the vectors that Python writes (tests/models_vectors.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { allModels, fileBytes, findModel, fitSize, seenBy } from "../dist/models.js";

const rows = JSON.parse(readFileSync(new URL("../../tests/image/models_vectors.json", import.meta.url), "utf8"));

test("vectors: every model, level and size as in Python", () => {
  assert.deepEqual(
    rows.map(({ name, detail }) => [name, detail]),
    allModels().flatMap(({ name, details }) => details.map((detail) => [name, detail])),
  );
  for (const { name, detail, cases } of rows) {
    for (const { image, sees, tokens, sent } of cases) {
      const where = `${name} ${detail} ${image}`;
      assert.deepEqual(fitSize(name, ...image, { detail }), { width: sent[0], height: sent[1], tokens }, where);
      assert.deepEqual(seenBy(name, ...image, detail), { width: sees[0], height: sees[1], tokens }, where);
    }
  }
});

test("names as servers and APIs write them", () => {
  const names = {
    "Qwen/Qwen3-VL-8B-Instruct": "qwen3-vl",
    "qwen2.5vl:7b": "qwen2.5-vl",
    "OpenGVLab/InternVL3_5-8B": "internvl",
    "meta.llama4-scout-17b-instruct-v1:0": "llama-4",
    "us.anthropic.claude-opus-4-7-v1:0": "claude",
    "claude-opus-4-20250514": "claude-4.6",
    "ft:gpt-4o-2024-08-06:us::x": "gpt-4o",
    "gpt-5-mini-2025-08-07": "gpt-5-mini",
    "models/gemini-2.5-flash": "gemini-2.5",
  };
  for (const [name, row] of Object.entries(names)) assert.equal(findModel(name)?.name, row, name);
  for (const name of ["", "gpt-7", "o3-mini", "gemma-3n-e4b", "x".repeat(5000)]) assert.equal(findModel(name), undefined);
});

test("a level of detail in the name, and one in the request, which goes first", () => {
  assert.deepEqual(fitSize("gpt-4o:low", 4000, 3000), { width: 512, height: 384, tokens: 85 });
  assert.equal(fitSize("gpt-4o:low", 4000, 3000, { detail: "high" }).width, 1024);
  assert.equal(fitSize("gemini-3", 1920, 1080, { detail: "MEDIA_RESOLUTION_LOW" }).tokens, 264);
});

test("limits: of clouds, of many images, of base64", () => {
  assert.equal(fileBytes(findModel("claude").limits), 7_500_000);
  assert.equal(fileBytes(findModel("us.anthropic.claude-opus-4-7-v1:0").limits), 3_750_000);
  assert.equal(fitSize("claude", 3840, 2160, { images: 20 }).width, 2576);
  assert.equal(fitSize("claude", 3840, 2160, { images: 21 }).width, 2000);
});

test("errors say what is wrong and what to do", () => {
  const name = "InputError";
  assert.throws(() => fitSize("gpt4o", 9, 9), { name, message: /^model 'gpt4o' is unknown: did you mean gpt-4o/ });
  assert.throws(() => seenBy("zzz", 9, 9), { name, message: "model 'zzz' is unknown: allModels() lists all names" });
  assert.throws(() => fitSize("gpt-4o", 0, 9), { name, message: "width must be whole pixels, got 0" });
  assert.throws(() => seenBy("gpt-4o", 9, NaN), { name, message: "height must be whole pixels, got NaN" });
});
