// Builds dist/ and weights/: the modules and types by tsc, the workers by esbuild, the weights from the Python package.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = new URL("../", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));
const SET = "mllm";
const RUNTIME = "ort-wasm-simd-threaded.wasm";

for (const folder of ["dist", "weights"]) rmSync(path(folder), { recursive: true, force: true });
mkdirSync(path("dist"));
if (existsSync(path("scripts/models_table.mjs"))) await import("./models_table.mjs");
copyFileSync(path(`node_modules/onnxruntime-web/dist/${RUNTIME}`), path(`dist/${RUNTIME}`));
copyFileSync(path("../LICENSE"), path("LICENSE"));
writeFileSync(path("src/packaged.ts"), packaged());
execFileSync(process.execPath, [path("node_modules/typescript/bin/tsc"), "-p", path("tsconfig.json")], {
  stdio: "inherit",
});
const common = { bundle: true, format: "esm", target: "es2022", minify: true, legalComments: "linked" };
const workers = ["worker", "worker_node"];
for (const name of workers) {
  await build({
    ...common,
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

// The module that says where the packaged weights are; bundlers find the files by these very expressions.
function packaged() {
  const from = new URL(`../src/cotam/weights/${SET}/`, root);
  const manifest = JSON.parse(readFileSync(new URL("manifest.json", from), "utf8"));
  mkdirSync(path(`weights/${SET}`), { recursive: true });
  const sizes = {};
  const urls = [];
  for (const name of [...Object.keys(manifest), "manifest.json"]) {
    copyFileSync(new URL(name, from), path(`weights/${SET}/${name}`));
    if (name === "manifest.json") continue;
    sizes[name] = statSync(path(`weights/${SET}/${name}`)).size;
    urls.push(`    "${name}": new URL("../weights/${SET}/${name}", import.meta.url).href,`);
  }
  return `// Made of src/cotam/weights/${SET} by scripts/build.mjs.
import type { WeightSource } from "./codec/weights.js";

export const PACKAGED: WeightSource = {
  manifest: ${JSON.stringify(manifest)},
  sizes: ${JSON.stringify(sizes)},
  urls: {
${urls.join("\n")}
  },
};

export const WASM = {
  wasm: new URL("./${RUNTIME}", import.meta.url).href,
  wasmSize: ${statSync(path(`dist/${RUNTIME}`)).size},
};
`;
}
