import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** A demo like "make demo", with its own ports and data. */
export interface Demo {
  /** URL of the page, through Envoy, with a trailing slash. */
  readonly url: string;
  /** Changes the state of a process, like the buttons. */
  readonly change: (name: string, verb: string) => Promise<void>;
  /** States of the processes and caches, by name. */
  readonly states: () => Promise<Readonly<Record<string, string>>>;
  /** Stops the demo; rejects if the stop is not clean. */
  readonly stop: () => Promise<void>;
}

/** Starts the demo and waits until everything runs. */
export async function startDemo(): Promise<Demo> {
  const data = await mkdtemp(join(tmpdir(), "weft-page-"));
  const [port = 0, admin = 0, weft = 0, legacy = 0, mongodb = 0] = await freePorts(5);
  const child = spawn("bin/demo", ["-weft", "bin/weft", "-legacy", "bin/legacy", "-page", "examples/client/dist"], {
    cwd: root,
    env: {
      ...process.env,
      ...{ PORT: `${port}`, ADMIN_PORT: `${admin}`, WEFT_ADMIN_PORT: `${weft}` },
      ...{ LEGACY_PORT: `${legacy}`, MONGODB_PORT: `${mongodb}` },
      ...{ DATA: data, LEGACY: "", MONGODB_URI: "" },
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.once("exit", () => child.kill());
  await ready(child);

  const url = `http://127.0.0.1:${port}/`;
  return {
    url,
    change: async (name, verb) => {
      const response = await fetch(`${url}demo/processes/${name}/${verb}`, { method: "POST" });
      if (!response.ok) {
        throw new Error(`${verb} ${name}: ${response.status} ${await response.text()}`);
      }
    },
    states: async () => (await (await fetch(`${url}demo/processes`)).json()) as Record<string, string>,
    stop: async () => {
      const ended = once(child, "exit");
      child.kill("SIGINT");
      const [code] = (await ended) as [number | null];
      if (code !== 0) {
        throw new Error(`the demo ended with status ${code}`);
      }
      await rm(data, { recursive: true });
    },
  };
}

/** Waits for the last line of the demo's guide. */
async function ready(child: ChildProcessByStdio<null, Readable, null>): Promise<void> {
  const said: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    said.push(line);
    if (line.startsWith("Ctrl-C stops")) {
      child.stdout.resume(); // so that later output does not fill the pipe
      return;
    }
  }
  throw new Error(`the demo does not start; "make test-page" builds what it needs:\n${said.join("\n")}`);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
