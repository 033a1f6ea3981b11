#!/usr/bin/env node
// Starts the ccctl of the package for this platform, which npm has chosen beside this one. Everything that lasts
// (hooks, service) names the program itself, so that node is never in the way of a session.
"use strict";
const { spawn } = require("node:child_process");
const path = require("node:path");
const own = require("../package.json");

function fail(...lines) {
  for (const line of lines) console.error(line);
  process.exit(1);
}

function program() {
  const name = `${own.name}-${process.platform}-${process.arch}`;
  let found;
  try {
    found = require.resolve(`${name}/package.json`);
  } catch {
    if (name in own.optionalDependencies) {
      fail(
        `error: the package ${name} is missing, which holds the programs`,
        `hint: install again without --omit=optional: npm install -g ${own.name}`,
      );
    }
    fail(`error: there are no programs for ${process.platform} on ${process.arch}`);
  }
  const { version } = require(found);
  if (version !== own.version) {
    fail(
      `error: ${name} is version ${version}, ${own.name} is ${own.version}`,
      `hint: npm install -g ${own.name}@${own.version}`,
    );
  }
  return path.join(path.dirname(found), "bin", "ccctl");
}

// npx keeps packages in a cache that npm clears up. `ccctl install` refuses to name programs there; all else works.
if (__dirname.split(path.sep).includes("_npx")) {
  console.error(`warning: run from npx's cache, which does not last: npm install -g ${own.name} installs it to stay`);
}

const child = spawn(program(), process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => fail(`error: ${error.message}`));
// A terminal's signals reach the child by themselves; how it ends is its own business.
for (const signal of ["SIGINT", "SIGQUIT"]) process.on(signal, () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
