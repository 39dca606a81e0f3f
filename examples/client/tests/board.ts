import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Locator, Page } from "playwright-core";
import { enterUser, changeBody, checkAccess, checkWidth, demo, hold, press, state, visit } from "./harness.js";

/** The expected effect of a button. */
interface Expected {
  readonly button: string;
  /** The legacy status or "no response", and the error if it is incomplete. */
  readonly legacy: readonly [status: string, trouble?: string];
  /** A part of the legacy response. */
  readonly legacySays?: string;
  readonly status: string;
  /** The value of x-weft. */
  readonly mark: string;
  readonly shown: "composite" | "partial" | "failed";
  /** A part of the client's response. */
  readonly body: string;
  /** Whether there is a timeline. */
  readonly timed: boolean;
}

const core = '{"userId":7,"username":"user7","email":"user7@example.com","createdAt":"2020-02-29T12:34:56.789+00:00"}';
const extension = '{"userId":7,"tags":["vip"],"lastActivityScore":25.9,"customSettings":{"theme":"dark"}}';
const whole = `{"core":${core},"extension":${extension},"errors":[]}`;
const noCore = `{"core":null,"extension":${extension},"errors":["Failed to fetch core user profile."]}`;
const noExtension = `{"core":${core},"extension":null,"errors":["Failed to fetch extended user profile."]}`;
const nothing = '{"detail":"All upstream services are unavailable."}';

const partial = { status: "200", shown: "partial", timed: true } as const;
const composed = { status: "200", mark: "composed", shown: "composite", body: whole, timed: true } as const;

const legacyFaults: readonly Expected[] = [
  { button: "Slow", legacy: ["200"], legacySays: core, ...composed },
  { button: "404", legacy: ["404"], ...partial, mark: "degraded; reason=core-not-found", body: noCore },
  {
    button: "401",
    legacy: ["401"],
    legacySays: "Unauthorized",
    status: "401",
    mark: "passed; reason=client-error",
    shown: "failed",
    body: '"error":"Unauthorized"',
    timed: false,
  },
  {
    button: "500",
    legacy: ["500"],
    legacySays: "Internal Server Error",
    ...partial,
    mark: "degraded; reason=legacy-error",
    body: noCore,
  },
  {
    button: "Reset",
    legacy: ["no response", "connection reset by peer"],
    ...partial,
    mark: "degraded; reason=legacy-unreachable",
    body: noCore,
  },
  {
    button: "Reset body",
    legacy: ["200", "connection reset by peer"],
    legacySays: '{"userId":7,"username"',
    status: "503",
    mark: "degraded; reason=legacy-unreachable",
    shown: "failed",
    body: nothing,
    timed: false,
  },
  {
    button: "Truncated",
    legacy: ["200"],
    legacySays: '{"userId":7,"username"',
    ...partial,
    mark: "degraded; reason=core-invalid",
    body: noCore,
  },
  { button: "gzip", legacy: ["200"], legacySays: "1f 8b 08", ...composed },
  {
    button: "5 MB",
    legacy: ["200"],
    legacySays: '"padding":"xxx',
    ...partial,
    mark: "passed; reason=core-too-large",
    body: '"padding":"xxx',
    timed: false,
  },
  { button: "Healthy", legacy: ["200"], legacySays: core, ...composed },
];

const expectedErrors = ["responded with a status of 401", "responded with a status of 503"];

describe("the failure board", () => {
  it("shows user 7 first, healthy", async () => {
    await visit({}, async (page) => {
      await check(page, { button: "Healthy", legacy: ["200"], legacySays: core, ...composed });
    });
  });

  for (const expected of legacyFaults) {
    it(`legacy service: ${expected.button}`, async () => {
      await visit({ expectedErrors }, async (page) => {
        await state(page, "composite");
        await press(page, "Legacy service", expected.button);
        await check(page, expected);
        assert.deepEqual(await pressed(page, "Legacy service"), [expected.button]);
        await checkAccess(page);
        await page.setViewportSize({ width: 360, height: 740 });
        await checkWidth(page);
      });
    });
  }

  it("shows that a large core equals the legacy body", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const long = "x".repeat(100_000);
      const changed = (body: string) => body.replace("user8@", `${long}@`);
      await changeBody(page, "/api/v3/composite-profile/8", changed);
      await changeBody(page, "/demo/legacy/8", changed);
      await enterUser(page, "8");
      const composite = page.getByRole("article", { name: "Through Envoy and weft" });
      await composite.getByText("The core is the legacy body, byte for byte.").waitFor();
      await page.setViewportSize({ width: 360, height: 740 });
      await checkWidth(page);
    });
  });

  it("keeps the fault for another user", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await press(page, "Legacy service", "500");
      await state(page, "partial");
      await page.getByLabel("User ID").fill("8");
      await page.getByRole("button", { name: "Show", exact: true }).click();
      await page.getByText("GET /api/v3/composite-profile/8?fault=500").first().waitFor();
      assert.match(await state(page, "partial"), /Name, e-mail and date are missing/);
    });
  });

  it("draws the overlap: MongoDB finishes before a slow legacy service", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await press(page, "Legacy service", "Slow");
      await page.getByText(/concurrently with the legacy service; weft adds/).waitFor();
      const [legacy, mongodb, weft, together, apart] = await Promise.all(
        [
          ".bar.legacy:not(.would)",
          ".bar.mongodb:not(.would)",
          ".bar.weft",
          ".bar.would.legacy",
          ".bar.would.mongodb",
        ].map(async (bar) => edges(page.locator(`.timeline ${bar}`))),
      );
      assert.ok(legacy && mongodb && weft && together && apart);
      assert.equal(mongodb.left, legacy.left, "both bars start with the request");
      assert.ok(mongodb.right < legacy.left + (legacy.right - legacy.left) / 2, "MongoDB takes less than 0.4 s");
      near(weft.left, legacy.right);
      near(together.right, apart.left);
      assert.ok(legacy.right > legacy.left + 100, "800 ms is a long bar");
      const numbers = await page.locator(".timeline .row > :last-child").allInnerTexts();
      assert.ok(parseFloat(numbers[0] ?? "") >= 800, numbers.join());
    });
  });
});

describe("stopped and frozen processes", () => {
  after(async () => {
    await demo.change("mongod", "run");
    await demo.change("weft", "run");
  });

  const withoutExtension = { legacy: ["200"], legacySays: core, ...partial, body: noExtension } as const;

  for (const button of ["Stopped", "Frozen"]) {
    it(`MongoDB: ${button}, and running again`, async () => {
      await visit({}, async (page) => {
        await state(page, "composite");
        await press(page, "MongoDB", button);
        await state(page, "partial");
        await check(page, { button, ...withoutExtension, mark: "degraded; reason=extension-timeout" });
        assert.deepEqual(await pressed(page, "MongoDB"), [button]);
        assert.equal((await demo.states()).mongod, button.toLowerCase());
        await page.getByText(/weft waits \d+ ms more for MongoDB/).waitFor();
        await checkAccess(page);
        await page.reload(); // a new visitor sees the same state
        await state(page, "partial");
        assert.deepEqual(await pressed(page, "MongoDB"), [button]);
        await recover(page, "MongoDB");
      });
    });
  }

  it("weft: killed, and running again", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await press(page, "weft", "Killed");
      await state(page, "partial");
      await check(page, {
        button: "Killed",
        ...withoutExtension,
        mark: "degraded; reason=weft-unavailable",
        timed: false,
      });
      assert.deepEqual(await pressed(page, "weft"), ["Killed"]);
      assert.equal((await demo.states()).weft, "stopped");
      await checkAccess(page);
      await recover(page, "weft");
    });
  });

  it("shows a fault from another page with the next response", async () => {
    await visit({}, async (first) => {
      await state(first, "composite");
      const second = await first.context().newPage();
      await second.goto(demo.url);
      await state(second, "composite");

      await press(first, "weft", "Killed");
      await state(first, "partial");
      assert.deepEqual(await pressed(second, "weft"), ["Running"]);
      await second.getByRole("button", { name: "Send again" }).click();
      await state(second, "partial");
      await button(second, "weft", "Killed").waitFor();
      assert.match(await second.locator(".verdict .what").innerText(), /^weft is down\./);

      await press(second, "weft", "Running");
      await button(second, "weft", "Running").waitFor();
      await first.getByRole("button", { name: "Send again" }).click();
      await button(first, "weft", "Running").waitFor();
      await sendUntilComposed(first); // the other page has restarted it
    });
  });

  it("does not overwrite a change in progress", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const change = await hold(page, "/demo/processes/weft/kill");
      await press(page, "weft", "Killed");
      await change.arrived(); // weft is killed; the page has no response yet
      const states = await hold(page, "/demo/processes");
      await page.getByRole("button", { name: "Send again" }).click();
      await states.arrived();
      await states.release();
      assert.deepEqual(await pressed(page, "weft"), ["Running"]);
      await page.getByText("kill weft …").waitFor();
      await change.release();
      await button(page, "weft", "Killed").waitFor();
      await recover(page, "weft");
    });
  });

  it("shows the error of a failed change", async () => {
    await visit({ expectedErrors: ["net::ERR_INTERNET_DISCONNECTED"] }, async (page) => {
      await state(page, "composite");
      await page.context().setOffline(true);
      await press(page, "weft", "Killed");
      const gone = "The demo does not respond. Is “make demo” still running?";
      await page.locator(".faults .trouble").getByText(gone, { exact: true }).waitFor();
      await page.getByRole("article", { name: "The legacy service alone" }).getByText(gone, { exact: true }).waitFor();
      assert.deepEqual(await pressed(page, "weft"), ["Running"]);
      assert.equal((await demo.states()).weft, "running");
    });
  });
});

/** Restarts a process and sends requests until the response is composed. */
async function recover(page: Page, group: string): Promise<void> {
  await press(page, group, "Running");
  await button(page, group, "Running").waitFor();
  await sendUntilComposed(page);
}

/** Sends requests until the response is composed: Envoy and weft notice a restart after a moment. */
async function sendUntilComposed(page: Page): Promise<void> {
  const settledState = page.locator("[data-state=composite], [data-state=partial], [data-state=failed]");
  for (const end = Date.now() + 30_000; ;) {
    await settledState.waitFor();
    if ((await settledState.getAttribute("data-state")) === "composite") {
      break;
    }
    assert.ok(Date.now() < end, "the response is still not composed after the restart");
    await page.getByRole("button", { name: "Send again" }).click();
  }
  await check(page, { button: "Running", legacy: ["200"], legacySays: core, ...composed });
}

/** Checks everything that the page shows for a response. */
async function check(page: Page, expected: Expected): Promise<void> {
  await state(page, expected.shown);
  const legacy = page.getByRole("article", { name: "The legacy service alone" });
  const composite = page.getByRole("article", { name: "Through Envoy and weft" });
  const [status, trouble] = expected.legacy;
  await legacy.getByText(status, { exact: true }).waitFor();
  if (trouble !== undefined) {
    await legacy.getByText(trouble, { exact: true }).waitFor();
  }
  if (expected.legacySays !== undefined) {
    assert.ok((await bodyOf(legacy)).includes(expected.legacySays), await bodyOf(legacy));
  }
  await composite.getByText(expected.status, { exact: true }).waitFor();
  assert.equal(await composite.locator("dt", { hasText: "x-weft" }).locator("+ dd").innerText(), expected.mark);
  const body = await bodyOf(composite);
  assert.ok(expected.body.startsWith("{") ? body === expected.body : body.includes(expected.body), body);
  const isSame = expected.legacySays === core && body.startsWith(`{"core":${core}`);
  assert.equal(await composite.getByText("The core is the legacy body, byte for byte.").count(), isSame ? 1 : 0);

  const [mark = "", reason = ""] = expected.mark.split("; ");
  const verdict = page.getByRole("region", { name: "The response" });
  assert.equal(await verdict.locator("[data-role=status]").innerText(), expected.status);
  assert.equal(await verdict.locator("[data-role=mark]").innerText(), mark);
  assert.equal(await verdict.locator("[data-role=reason]").innerText(), reason);
  const rows = await page.locator(".timeline .row > :first-child").allInnerTexts();
  assert.deepEqual(rows, expected.timed ? ["legacy service", "MongoDB", "added by weft", "sequential"] : []);
  assert.equal(await page.getByText("No server-timing in this response").count(), expected.timed ? 0 : 1);
}

/** The text without the line breaks that CSS adds. */
async function bodyOf(article: Locator): Promise<string> {
  return (await article.locator("pre").textContent()) ?? "";
}

/** Whether a button is pressed. */
function button(page: Page, group: string, name: string): Locator {
  return page
    .getByRole("group", { name: group, exact: true })
    .getByRole("button", { name, exact: true, pressed: true });
}

async function pressed(page: Page, group: string): Promise<string[]> {
  return page.getByRole("group", { name: group, exact: true }).getByRole("button", { pressed: true }).allInnerTexts();
}

async function edges(bar: Locator): Promise<{ left: number; right: number }> {
  const box = await bar.boundingBox();
  assert.ok(box);
  return { left: box.x, right: box.x + box.width };
}

function near(one: number, other: number): void {
  assert.ok(Math.abs(one - other) < 1, `${one} and ${other} px`);
}
