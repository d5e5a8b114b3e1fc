// Runs all tests, or those of the files that are named. `npm run build` comes before.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../test/", import.meta.url));
const names = process.argv.length > 2 ? process.argv.slice(2) : readdirSync(folder).filter((n) => n.endsWith(".test.mjs"));
const files = names.map((name) => `${folder}${name.split("/").at(-1)}`);
// One file after the other: each has its own run time, and `make test` uses all processors already.
const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files], { stdio: "inherit" });
process.exit(status ?? 1);
