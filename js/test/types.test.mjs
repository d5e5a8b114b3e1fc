// The package as others' tools see it: test/types.ts compiles without the build tools of the package, and bundlers.
import { build } from "esbuild";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

test("a program with the package's types compiles", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "cotam-types-"));
  context.after(() => rmSync(folder, { recursive: true }));
  for (const name of ["package.json", "dist"]) cpSync(path(name), `${folder}/node_modules/cotam/${name}`, { recursive: true });
  for (const name of ["openai", "@anthropic-ai"]) symlinkSync(path(`node_modules/${name}`), `${folder}/node_modules/${name}`);
  cpSync(path("test/types.ts"), `${folder}/types.mts`);
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2023,dom,dom.asynciterable"];
  const args = [path("node_modules/typescript/bin/tsc"), ...options, "--ignoreConfig", "types.mts"];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8", cwd: folder });
  assert.equal(status, 0, stdout);
});

test("what a program does not import is left out of its bundle", async () => {
  const stdin = { contents: 'import { fitSize } from "./dist/index.js"; console.log(fitSize);', resolveDir: path(".") };
  const { outputFiles } = await build({ stdin, bundle: true, write: false, format: "esm", platform: "browser" });
  assert.ok(!outputFiles[0].text.includes(".wasm"));
});

test("webpack finds no files in the worker that are not there", () => {
  assert.ok(!readFileSync(path("dist/worker.js"), "utf8").includes("import.meta"));
});
