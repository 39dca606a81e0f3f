import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { describe, it } from "node:test";
import { enterUser, checkAccess, demo, state, visit } from "./harness.js";
import { root } from "./demo.js";

describe("the page with other services", () => {
  it("needs only the API", async () => {
    const asked: string[] = [];
    const service: RequestListener = (request, response) => {
      const path = request.url ?? "";
      asked.push(path);
      void answer(path).then(({ status, type, body }) =>
        response.writeHead(status, { "content-type": type }).end(body),
      );
    };
    await serving(service, async (port) => {
      // The page detects the missing failure board by a 404.
      await visit({ url: `http://127.0.0.1:${port}/`, expectedErrors: ["/demo/processes"] }, async (page) => {
        assert.equal(await state(page, "empty"), "No user yet. Enter a user ID.");
        await enterUser(page, "7");
        assert.match(await state(page, "composite"), /user7@example\.com[^]*vip/);
        await enterUser(page, "17");
        assert.match(await state(page, "partial"), /Tags, score and settings are missing/);
        assert.equal(await page.getByRole("group").count(), 0);
        assert.equal(await page.getByRole("heading", { name: "Break it" }).count(), 0);
        assert.equal(await page.getByText(/1 to 1000/).count(), 0); // only the demo's users are known
        await checkAccess(page);
      });
    });
    assert.deepEqual(
      asked.filter((path) => !/^\/(assets\/.*|icon\.svg)?$/.test(path)),
      ["/demo/processes", "/api/v3/composite-profile/7", "/api/v3/composite-profile/17"],
    );
  });
});

describe("the control endpoint", () => {
  it("rejects cross-origin requests and framing", async () => {
    const attack = `<!doctype html><html lang="en"><title>attack</title>
      <iframe name="victim" src="${demo.url}"></iframe><iframe name="into"></iframe>
      <form method="post" target="into" action="${demo.url}demo/processes/weft/kill"></form>`;
    const before = await demo.states();
    await serving(page(attack), async (port) => {
      for (const host of ["attacker.example", "localhost"]) {
        const expectedErrors = ["frame-ancestors", "Failed to load resource", "blocked by CORS policy"];
        await visit({ url: `http://${host}:${port}/`, expectedErrors }, async (page) => {
          const posted = page.waitForResponse((response) => response.request().method() === "POST");
          await page.evaluate(() => {
            document.forms[0]?.submit();
          });
          assert.equal((await posted).status(), 403);
          const read = await page.evaluate(async (url) => {
            await fetch(`${url}demo/processes/weft/kill`, { method: "POST", mode: "no-cors" }).catch(() => undefined);
            return fetch(`${url}demo/processes`).then(
              () => "read",
              () => "refused",
            );
          }, demo.url);
          assert.equal(read, "refused");
          assert.equal(await page.frameLocator("[name=victim]").locator("button").count(), 0);
        });
      }
    });
    assert.deepEqual(before, { caches: "off", legacy: "running", mongod: "running", weft: "running" });
    assert.deepEqual(await demo.states(), before);
  });

  it("rejects a foreign host name that resolves to this machine", async () => {
    const rebound = demo.url.replace("127.0.0.1", "rebound.example");
    await visit({ url: rebound, expectedErrors: ["responded with a status of 403"] }, async (page) => {
      await state(page, "empty");
      const statuses = await page.evaluate(async () => {
        const kill = await fetch("/demo/processes/weft/kill", { method: "POST" });
        return [(await fetch("/demo/processes")).status, kill.status];
      });
      assert.deepEqual(statuses, [403, 403]);
      assert.equal(await page.getByRole("group").count(), 0);
    });
    assert.equal((await demo.states()).weft, "running");
  });
});

interface Content {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
}

/** Serves the built page, and the API from the demo's Envoy. */
async function answer(path: string): Promise<Content> {
  if (path.startsWith("/api/")) {
    const response = await fetch(demo.url + path.slice(1));
    return { status: response.status, type: "application/json", body: await response.text() };
  }
  const types: Readonly<Record<string, string>> = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
  };
  try {
    const body = await readFile(join(root, "examples/client/dist", path === "/" ? "index.html" : path));
    return { status: 200, type: types[extname(path)] ?? "text/html", body };
  } catch {
    return { status: 404, type: "text/plain", body: "" };
  }
}

function page(body: string): RequestListener {
  return (_request, response) => response.writeHead(200, { "content-type": "text/html" }).end(body);
}

/** Serves on a free loopback port during a test. */
async function serving(listener: RequestListener, doing: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await doing((server.address() as AddressInfo).port);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}
