// The package as others' tools see it: test/types.ts compiles without the build tools of the package, and bundlers.
import { build } from "esbuild";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

// Compiles a program in a new project that has the package.
function compiled(context, program, options) {
  const folder = mkdtempSync(join(tmpdir(), "cotam-types-"));
  context.after(() => rmSync(folder, { recursive: true }));
  for (const name of ["package.json", "dist"]) cpSync(path(name), `${folder}/node_modules/cotam/${name}`, { recursive: true });
  for (const name of ["openai", "@anthropic-ai", "@types", "undici-types"]) {
    symlinkSync(path(`node_modules/${name}`), `${folder}/node_modules/${name}`);
  }
  writeFileSync(`${folder}/program.mts`, program);
  const args = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", ...options, "--ignoreConfig", "program.mts"];
  return spawnSync(process.execPath, [path("node_modules/typescript/bin/tsc"), ...args], { encoding: "utf8", cwd: folder });
}

test("a program with the package's types compiles", (context) => {
  const program = readFileSync(path("test/types.ts"));
  const { status, stdout } = compiled(context, program, ["--lib", "es2023,dom,dom.asynciterable"]);
  assert.equal(status, 0, stdout);
});

test("a program for Node compiles without the types of browsers", (context) => {
  const program = `import { decode, encode } from "cotam";
    const { data, width, height } = await decode(await encode({ data: Buffer.alloc(4), width: 1, height: 1 }));
    await encode({ data, width, height });
    // @ts-expect-error no path
    await encode("photo.png");`;
  const { status, stdout } = compiled(context, program, ["--lib", "es2023", "--types", "node"]);
  assert.equal(status, 0, stdout);
});

test("what a program does not import is left out of its bundle", async () => {
  const stdin = { contents: 'import { fitSize } from "./dist/index.js"; console.log(fitSize);', resolveDir: path(".") };
  const { outputFiles } = await build({ stdin, bundle: true, write: false, format: "esm", platform: "browser" });
  assert.ok(!outputFiles[0].text.includes(".wasm"));
});

test("bundlers look for no files in the worker and the bundle that are not there, and warn of none", () => {
  assert.ok(!readFileSync(path("dist/worker.js"), "utf8").includes("import.meta"));
  for (const name of ["worker", "browser"]) {
    assert.doesNotMatch(readFileSync(path(`dist/${name}.js`), "utf8"), /\bimport\((?!\/\*webpackIgnore:true)/);
  }
});
