// Writes src/models/table.ts: the table of models that Python has, without its sources.
import { readFileSync, writeFileSync } from "node:fs";

const here = (path) => new URL(path, import.meta.url);
const document = JSON.parse(readFileSync(here("../../src/cotam/image/models.json"), "utf8"));
const models = document.models.map(({ sources, ...row }) => row);
const table = JSON.stringify({ prefix: document.prefix, models });
writeFileSync(
  here("../src/models/table.ts"),
  `// Made of src/cotam/image/models.json by scripts/models_table.mjs.\nexport const TABLE: unknown = ${table};\n`,
);
