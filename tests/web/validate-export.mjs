// Looks at exported files with validators that are not ours: har-validator for HTTP Archives, ajv for lines.
//
// validate-export.mjs har FILE | jsonl FILE SCHEMA; prints how many entries were looked at. Must never take a file for good that
// it did not read to its end.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.WEB_TOOLS, "package.json"));
const [kind, file, schema] = process.argv.slice(2);
const text = readFileSync(file, "utf8");

function fail(what, errors) {
  console.error(what, JSON.stringify(errors?.slice(0, 20), null, 1));
  process.exit(1);
}

if (kind === "har") {
  const har = JSON.parse(text);
  try {
    await require("har-validator/lib/promise").har(har);
  } catch (error) {
    fail("no HTTP Archive", error.errors);
  }
  console.log(har.log.entries.length);
} else {
  const Ajv = require("ajv");
  const described = JSON.parse(readFileSync(schema, "utf8"));
  const ajv = new Ajv({ allErrors: true });
  if (!ajv.validateSchema(described)) fail("no schema", ajv.errors);
  ajv.addSchema(described, "lines");
  const lines = text.split("\n");
  if (lines.pop() !== "") fail("a line without an end");
  for (const line of lines) {
    const value = JSON.parse(line);
    if (!ajv.validate("lines", value)) {
      // What is wrong with it as the type that it says it is.
      ajv.validate(`lines#/definitions/${value.type}`, value);
      fail(`not as described: ${line.slice(0, 200)}`, ajv.errors);
    }
  }
  console.log(lines.length);
}
