// Builds dist/ and weights/: the modules and types by tsc, the workers by esbuild, the weights from the Python package.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { onnxMetadata } from "./onnx_metadata.mjs";

const root = new URL("../", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));
const SETS = ["mllm", "page"];
const GUIDE = "guide_lite";
const RUNTIME = "ort-wasm-simd-threaded.wasm";

for (const folder of ["dist", "weights"]) rmSync(path(folder), { recursive: true, force: true });
mkdirSync(path("dist"));
await import("./models_table.mjs");
copyFileSync(path(`node_modules/onnxruntime-web/dist/${RUNTIME}`), path(`dist/${RUNTIME}`));
copyFileSync(path("../LICENSE"), path("LICENSE"));
writeFileSync(path("src/packaged.ts"), packaged());
execFileSync(process.execPath, [path("node_modules/typescript/bin/tsc"), "-p", path("tsconfig.json")], {
  stdio: "inherit",
});
const common = { bundle: true, format: "esm", target: "es2022", minify: true, legalComments: "linked" };
for (const name of ["worker", "worker_node"]) {
  await build({
    ...common,
    // webpack would look for the files that ONNX Runtime names relative to itself, and there are none.
    ...(name === "worker" && { define: { "import.meta.url": "location.href" } }),
    entryPoints: [path(`src/${name}.ts`)],
    outfile: path(`dist/${name}.js`),
    platform: name === "worker" ? "browser" : "node",
    alias: { "onnxruntime-web/wasm": path("node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs") },
    external: ["@jsquash/avif", "node:*"],
    allowOverwrite: true,
  });
}
await build({
  ...common,
  entryPoints: [path("dist/index.js")],
  outfile: path("dist/browser.js"),
  alias: { "#platform": path("dist/platform_browser.js") },
});
// esbuild drops the comments that keep bundlers from looking for what is imported by a variable.
for (const name of ["worker", "browser"].map((name) => path(`dist/${name}.js`))) {
  const text = readFileSync(name, "utf8");
  writeFileSync(name, text.replace(/\bimport\((?=\w)/g, "import(/*webpackIgnore:true*//*@vite-ignore*/"));
}

// The module that says where the packaged weights are; bundlers find the files by these very expressions.
function packaged() {
  const sets = SETS.map((name) => {
    const manifest = JSON.parse(readFileSync(new URL(`../src/cotam/weights/${name}/manifest.json`, root), "utf8"));
    copied(name, "manifest.json", name);
    return `    ${name}: {\n${source(manifest, name, name)}\n    },`;
  });
  const graph = readFileSync(new URL(`../src/cotam/weights/${GUIDE}.onnx`, root));
  const manifest = { [`${GUIDE}.onnx`]: createHash("sha256").update(graph).digest("hex") };
  return `// Made of src/cotam/weights by scripts/build.mjs.
import type { Setup } from "./protocol.js";

export const PACKAGED: Pick<Setup, "sets" | "guide"> = {
  sets: {
${sets.join("\n")}
  },
  guide: {
    graph: "${GUIDE}",
${guideFields(onnxMetadata(graph))}
${source(manifest, ".", "guide")}
  },
};

export const WASM = {
  wasm: new URL("./${RUNTIME}", import.meta.url).href,
  wasmSize: ${statSync(path(`dist/${RUNTIME}`)).size},
};
`;
}

// Copies the files of a manifest; the fields of their `WeightSource`.
function source(manifest, from, to) {
  const names = Object.keys(manifest);
  const sizes = Object.fromEntries(names.map((name) => [name, copied(from, name, to)]));
  const urls = names.map((name) => `      "${name}": new URL("../weights/${to}/${name}", import.meta.url).href,`);
  return `    manifest: ${JSON.stringify(manifest)},
    sizes: ${JSON.stringify(sizes)},
    urls: {
${urls.join("\n")}
    },`;
}

function copied(from, name, to) {
  mkdirSync(path(`weights/${to}`), { recursive: true });
  copyFileSync(new URL(`../src/cotam/weights/${from}/${name}`, root), path(`weights/${to}/${name}`));
  return statSync(path(`weights/${to}/${name}`)).size;
}

function guideFields(metadata) {
  if (metadata["cotam.guide"] !== "1" || metadata["cotam.guide.kind"] !== "conv") {
    throw new Error(`${GUIDE}.onnx is not a guide of version 1 and kind conv: ${JSON.stringify(metadata)}`);
  }
  const fields = ["side", "multiple", "exponent"];
  return fields.map((name) => `    ${name}: ${Number(metadata[`cotam.guide.${name}`])},`).join("\n");
}
