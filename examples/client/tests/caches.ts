import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { checkAccess, checkWidth, demo, enterUser, heard, press, state, visit } from "./harness.js";

describe("last known good", () => {
  const restore = async () => {
    await demo.change("mongod", "run");
    await demo.change("legacy", "run");
    await demo.change("caches", "off");
  };
  afterEach(restore);
  after(restore);

  it("shows a write to MongoDB in the next response, with caches", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await press(page, "Last known good", "On");
      await enterUser(page, "9");
      await page.getByText("user9@example.com", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Send again" }).click();
      await page.getByText("The document is in weft’s cache, so MongoDB is not read").waitFor();
      const rows = await page.locator(".timeline .row > :first-child").allInnerTexts();
      assert.deepEqual(rows, ["legacy service", "added by weft"]);
      for (const score of ["34.3", "35.3", "36.3"]) {
        await page.getByRole("button", { name: "Add 1 to the score" }).click();
        await sendUntil(page, score);
      }
      await checkAccess(page);
    });
  });

  for (const [button, what] of [
    ["Stopped", "MongoDB is stopped."],
    ["Frozen", "MongoDB is frozen."],
  ] as const) {
    it(`MongoDB: ${button}, with an older extension`, async () => {
      await visit({}, async (page) => {
        await state(page, "composite");
        await press(page, "Last known good", "On");
        await sendUntil(page, "25.9");
        await press(page, "MongoDB", button);
        await sendUntil(page, "An older copy"); // the cache is used until weft knows that MongoDB is frozen
        assert.match(await state(page, "composite"), /25\.9/);
        assert.match(await reason(page), /^reason=extension-(timeout|failed); extension=stale$/);
        assert.equal(await explanation(page), `${what} An older extension replaces the new one.`);
        assert.equal(await heard(page), "User 7, user7, is shown. It may be out of date.");
        await checkAccess(page);
        await page.setViewportSize({ width: 360, height: 740 });
        await checkWidth(page);
      });
    });
  }

  it("the legacy service is down, without caches", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await press(page, "Legacy service, all requests", "Down");
      await state(page, "partial");
      assert.equal(await reason(page), "reason=legacy-error");
      const outcome = "The response has the extension, and core is null.";
      assert.equal(await explanation(page), `The legacy service is down. ${outcome}`);
      await press(page, "Legacy service, all requests", "Running");
      await state(page, "composite");
    });
  });

  it("the legacy service is down, with an older core", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await press(page, "Last known good", "On");
      await state(page, "composite");
      await press(page, "Legacy service, all requests", "Down");
      const core = page.getByRole("region", { name: "user7" });
      await core.getByText(/^An older copy, from \d+ s ago$/).waitFor();
      assert.equal(await reason(page), "reason=legacy-error; core=stale");
      const explained = /^The legacy service is down\. A core from \d+ s ago replaces the new one\.$/;
      assert.match(await explanation(page), explained);
      assert.equal(await heard(page), "User 7, user7, is shown. It may be out of date.");
      await page.getByRole("article", { name: "The legacy service alone" }).getByText("503", { exact: true }).waitFor();
      await checkAccess(page);

      await press(page, "MongoDB", "Stopped"); // both
      await sendUntil(page, "Profile\n\nAn older copy");
      assert.match(
        await reason(page),
        /^reason=legacy-error\+extension-(timeout|failed); core=stale; extension=stale$/,
      );
      assert.match(
        await explanation(page),
        /^The legacy service is down\. MongoDB is stopped\. A core from \d+ s ago replaces the new one\. An older extension replaces the new one\.$/,
      );
    });
  });

  it("shows why a write fails", async () => {
    await visit({ expectedErrors: ["responded with a status of 503"] }, async (page) => {
      await state(page, "composite");
      await press(page, "MongoDB", "Stopped");
      await state(page, "partial");
      await page.getByRole("button", { name: "Add 1 to the score" }).click();
      await page.locator(".faults .trouble").getByText("MongoDB does not respond").waitFor();
    });
  });
});

/** Sends requests until the profile has a text: a change stream reports a write or its end after a moment. */
async function sendUntil(page: Page, text: string): Promise<void> {
  for (const end = Date.now() + 30_000; ;) {
    if ((await state(page, "composite")).includes(text)) {
      return;
    }
    assert.ok(Date.now() < end, `the profile does not show ${text}`);
    await page.getByRole("button", { name: "Send again" }).click();
  }
}

async function reason(page: Page): Promise<string> {
  return page.locator(".verdict [data-role=reason]").innerText();
}

async function explanation(page: Page): Promise<string> {
  return page.locator(".verdict .what").innerText();
}
