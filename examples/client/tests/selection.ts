import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Locator, Page } from "playwright-core";
import { checkAccess, checkWidth, enterUser, hold, press, state, visit } from "./harness.js";

const two = '{"core":{"username":"user7"},"extension":{"tags":["vip"]},"errors":[]}';
const whole = 223; // bytes of the complete response for user 7

const expectedErrors = ["responded with a status of 400"];

describe("the selection", () => {
  for (const colorScheme of ["light", "dark"] as const) {
    it(`returns the selected members only, ${colorScheme}`, async () => {
      await visit({ colorScheme }, async (page) => {
        await state(page, "composite");
        assert.equal(await card(page).count(), 0);
        await page.getByRole("button", { name: "Select", exact: true }).click();
        await said(page, `The selection has ${two.length} bytes; the complete response has ${whole}.`);
        assert.equal(await body(page).textContent(), two);
        const path = "/api/v3/composite-profile/7?fields=core.username,extension.tags";
        await card(page).getByText(`GET ${path}`, { exact: true }).waitFor();
        await checkAccess(page);
        await page.setViewportSize({ width: 360, height: 740 });
        await checkWidth(page);
      });
    });
  }

  it("is sent with Enter; spaces do not matter", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await select(page, " extension.lastActivityScore , core.email ");
      await said(page, `The selection has 89 bytes; the complete response has ${whole}.`);
      const selected = '{"core":{"email":"user7@example.com"},"extension":{"lastActivityScore":25.9},"errors":[]}';
      assert.equal(await body(page).textContent(), selected);
      const input = page.getByLabel("Members", { exact: true });
      assert.ok(await input.evaluate((element) => element === document.activeElement));
    });
  });

  it("of unknown members is rejected, with their names", async () => {
    await visit({ expectedErrors }, async (page) => {
      await state(page, "composite");
      await select(page, "core.username,extension.mood,a&b=ü");
      const detail = 'unknown names in the query parameter fields: "extension.mood", "a&b=ü"';
      await said(page, `The service responded 400, ${detail}.`);
      assert.equal(await header(page, "content-type"), "application/problem+json");
      assert.equal(await header(page, "x-weft"), "rejected; reason=unknown-member");
      const problem = JSON.parse((await body(page).textContent()) ?? "") as Record<string, unknown>;
      assert.deepEqual(problem.unknown, ["extension.mood", "a&b=ü"]);
      assert.ok((problem.known as string[]).includes("extension.tags"));
      await checkAccess(page);

      await select(page, "");
      await said(page, 'The service responded 400, unknown names in the query parameter fields: "".');
      await select(page, "core.username,extension.tags");
      await said(page, `The selection has ${two.length} bytes; the complete response has ${whole}.`);
    });
  });

  it("follows the user and the faults", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await select(page, "core.username,extension.tags");
      await page.getByText(two, { exact: true }).waitFor();
      await enterUser(page, "8");
      await page.getByText('"core":{"username":"user8"}').waitFor();
      await press(page, "Legacy service", "500");
      const path = "/api/v3/composite-profile/8?fault=500&fields=core.username,extension.tags";
      await card(page).getByText(`GET ${path}`, { exact: true }).waitFor();
      await card(page).getByText("degraded; reason=legacy-error", { exact: true }).waitFor();
      assert.match(
        (await body(page).textContent()) ?? "",
        /^\{"core":null,"extension":\{"tags":[^{}]*\},"errors":\["Failed/,
      );
      await enterUser(page, "");
      await state(page, "empty");
      assert.equal(await page.getByLabel("Members", { exact: true }).count(), 0);
    });
  });

  it("of the core only reads nothing from MongoDB", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await enterUser(page, "17"); // whose document has a field of another type
      await state(page, "partial");
      await select(page, "core.username");
      await page.getByText('{"core":{"username":"user17"},"errors":[]}', { exact: true }).waitFor();
      assert.equal(await header(page, "x-weft"), "composed");
      assert.doesNotMatch(await header(page, "server-timing"), /mongodb/);
    });
  });

  it("ignores a late response, and shows a missing one", async () => {
    await visit({ expectedErrors: ["net::ERR_INTERNET_DISCONNECTED"] }, async (page) => {
      await state(page, "composite");
      const late = await hold(page, "/api/v3/composite-profile/7");
      await select(page, "core.email");
      await late.arrived();
      await card(page).getByText("Waiting …").waitFor();
      await select(page, "core.username,extension.tags");
      await page.getByText(two, { exact: true }).waitFor();
      assert.equal(await late.ended, "net::ERR_ABORTED");
      await late.release();
      assert.equal(await body(page).textContent(), two);

      await page.context().setOffline(true);
      await select(page, "core.email");
      await card(page).getByText("No complete response.", { exact: true }).waitFor();
    });
  });
});

async function select(page: Page, fields: string): Promise<void> {
  await page.getByLabel("Members", { exact: true }).fill(fields);
  await page.getByLabel("Members", { exact: true }).press("Enter");
}

function region(page: Page): Locator {
  return page.getByRole("region", { name: "What a client selects" });
}

/** The response, which exists after the first selection. */
function card(page: Page): Locator {
  return page.getByRole("article", { name: "The selected members" });
}

function body(page: Page): Locator {
  return page.getByRole("region", { name: "Body of the selection" });
}

/** Waits for what screen readers announce. */
async function said(page: Page, text: string): Promise<void> {
  await region(page).getByRole("status").getByText(text, { exact: true }).waitFor();
}

async function header(page: Page, name: string): Promise<string> {
  return card(page).locator("dt", { hasText: name }).locator("+ dd").innerText();
}
