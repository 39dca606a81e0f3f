import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { root } from "./demo.js";

const run = promisify(execFile);
const target = "examples/client/node_modules/.package-lock.json";
const otherwise = /make run needs neither Node\.js nor npm/;

describe("errors of make demo when the page cannot be built", () => {
  it("npm is missing", async () => {
    await inCopy(async (folder) => {
      for (const tool of ["sh", "sed", "echo"]) {
        await symlink(await pathOf(tool), join(folder, "bin", tool));
      }
      assert.match(
        await failure(folder, { PATH: join(folder, "bin") }),
        /npm is missing; install Node\.js 20\.19, 22\.13, 24 or newer with npm, or use make run/,
      );
    });
  });

  it("Node.js is too old", async () => {
    await inCopy(async (folder) => {
      // Require a newer Node.js than the installed one.
      const file = join(folder, "examples/client/package.json");
      const manifest = await readFile(file, "utf8");
      const changed = manifest.replace(/"node": ".*"/, '"node": ">=99"');
      assert.notEqual(changed, manifest);
      await writeFile(file, changed);
      const said = await failure(folder, {});
      assert.match(said, /Required: \{"node":">=99"\}\s.*Actual:\s+\{"node":"v/);
      assert.match(said, otherwise);
    });
  });

  it("the registry is unreachable", async () => {
    await inCopy(async (folder) => {
      // Nothing listens on this port.
      const said = await failure(folder, {
        npm_config_registry: "http://127.0.0.1:9",
        npm_config_fetch_retries: "0",
        npm_config_cache: join(folder, "cache"),
      });
      assert.match(said, /ECONNREFUSED 127\.0\.0\.1:9/);
      assert.match(said, otherwise);
    });
  });
});

/** Runs a test in a directory that has only the Makefile's inputs for fetching packages, and an empty bin. */
async function inCopy(doing: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "weft-install-"));
  try {
    await mkdir(join(folder, "bin"));
    const client = ["package.json", "package-lock.json", ".npmrc"].map((file) => `examples/client/${file}`);
    for (const file of ["Makefile", "go.mod", ...client]) {
      await cp(join(root, file), join(folder, file));
    }
    await doing(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Runs make to fetch the packages, which must fail, and returns its output. */
async function failure(folder: string, environment: Readonly<Record<string, string>>): Promise<string> {
  const make = await pathOf("make");
  try {
    const { stdout, stderr } = await run(make, [target], { cwd: folder, env: { ...process.env, ...environment } });
    throw new Error(`make must fail, and says:\n${stdout}${stderr}`);
  } catch (error) {
    if (error instanceof Error && "stdout" in error && "stderr" in error) {
      return `${String(error.stdout)}${String(error.stderr)}`;
    }
    throw error;
  }
}

async function pathOf(tool: string): Promise<string> {
  return (await run("sh", ["-c", `command -v ${tool}`])).stdout.trim();
}
