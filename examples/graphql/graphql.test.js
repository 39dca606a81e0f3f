// A GraphQL query is one request through a real Envoy, weft, MongoDB and legacy service: those of "make run".
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createGateway } from "./server.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const rules = join(root, "examples/graphql/rules.yaml");
const requests = [];
let demo, data, gateway, envoy;

before(async () => {
  data = await mkdtemp(join(tmpdir(), "weft-graphql-"));
  const [port, admin, weft, legacy, mongodb] = await freePorts(5);
  demo = spawn("bin/demo", ["-weft", "bin/weft", "-legacy", "bin/legacy"], {
    cwd: root,
    env: {
      ...process.env,
      ...{ PORT: port, ADMIN_PORT: admin, WEFT_ADMIN_PORT: weft, LEGACY_PORT: legacy, MONGODB_PORT: mongodb },
      ...{ DATA: data, LEGACY: "", MONGODB_URI: "", WEFT_RULES: rules },
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.once("exit", () => demo.kill());
  const lines = createInterface(demo.stdout);
  await new Promise((resolve, reject) => {
    lines.on("line", (line) => line.startsWith("Ctrl-C stops") && resolve());
    lines.on("close", () => reject(new Error("the demo does not start; make test-graphql builds what it needs")));
  });
  envoy = `http://127.0.0.1:${port}`;
  const description = await promisify(execFile)(join(root, "bin/weft"), ["openapi", "--rules", rules]);
  gateway = createServer(await createGateway(description.stdout, envoy, (url) => requests.push(url)));
  await once(gateway.listen(0, "127.0.0.1"), "listening");
});

after(async () => {
  gateway?.close();
  demo?.kill("SIGINT");
  await once(demo, "exit");
  await rm(data, { recursive: true });
});

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

/** Runs a query, and returns its result and the requests to Envoy. */
async function query(text) {
  requests.length = 0;
  const response = await fetch(`http://127.0.0.1:${gateway.address().port}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: text }),
  });
  return { ...(await response.json()), requests: requests.map((url) => decodeURIComponent(url.pathname + url.search)) };
}

test("a query is one request for what it selects", async () => {
  const { data, errors, requests } = await query("{ user(id: 7) { username extension { tags __typename } } }");
  assert.equal(errors, undefined);
  assert.deepEqual(requests, ["/api/v1/users/7?fields=username,extension.tags"]);
  const whole = await (await fetch(`${envoy}/api/v1/users/7`)).json();
  assert.deepEqual(data, {
    user: { username: whole.username, extension: { tags: whole.extension.tags, __typename: "query_user_extension" } },
  });
  const selected = await fetch(envoy + requests[0]);
  assert.equal(selected.headers.get("x-weft"), "composed");
  assert.deepEqual(await selected.json(), { username: whole.username, extension: { tags: whole.extension.tags } });
});

test("aliases are requests of their own; fragments select", async () => {
  const { data, errors, requests } = await query(`
    { seven: user(id: 7) { ...names }, thirteen: user(id: 13) { ...names, extension { customSettings } } }
    fragment names on user { userId username }`);
  assert.equal(errors, undefined);
  assert.deepEqual(requests.sort(), [
    "/api/v1/users/13?fields=userId,username,extension.customSettings",
    "/api/v1/users/7?fields=userId,username",
  ]);
  assert.equal(Number(data.seven.userId), 7);
  assert.deepEqual(data.thirteen.extension, { customSettings: {} });
});

test("an extension that cannot be read is null, with an error", async () => {
  const { data } = await query("{ user(id: 17) { username errors extension { tags lastActivityScore customSettings } } }");
  assert.equal(data.user.extension, null);
  assert.equal(data.user.errors.length, 1);
});

test("a user whom the legacy service does not have is an error", async () => {
  const { data, errors } = await query("{ user(id: 999999999) { username } }");
  assert.equal(data?.user ?? null, null);
  assert.equal(errors[0].extensions.response?.status ?? errors[0].extensions.statusCode, 404);
});
