import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Page } from "playwright-core";
import { hold, press, state, visit } from "./harness.js";

describe("keyboard", () => {
  it("moves from the user ID to each button and to the responses", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await page.getByText("The core is the legacy body").waitFor();
      const stops: string[] = [];
      for (let stop = await next(page); stop !== ""; stop = await next(page)) {
        stops.push(stop);
      }
      const legacy = ["Healthy", "Slow", "404", "401", "500", "Reset", "Reset body", "Truncated", "gzip", "5 MB"];
      const processes = ["Running", "Stopped", "Frozen", "Running", "Killed", "Running", "Down"];
      const caches = ["Off", "On", "Add 1 to the score"];
      const bodies = ["Body of the legacy response", "Body of the composite response"];
      const selection = ["Members", "Select"];
      const answers = ["Send again", ...bodies, ...selection];
      assert.deepEqual(stops, ["User ID", "Show", ...legacy, ...processes, ...caches, ...answers]);
    });
  });

  it("sends with Enter, selects a fault with Space, and keeps the focus", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await page.getByLabel("User ID").focus();
      await page.keyboard.press("Control+A");
      await page.keyboard.type("8");
      await page.keyboard.press("Enter");
      await page.getByText("user8@example.com", { exact: true }).waitFor();
      const button = page.getByRole("button", { name: "500", exact: true });
      await button.focus();
      await page.keyboard.press("Space");
      await state(page, "partial");
      assert.equal(await focused(page), "500");
      await page.keyboard.press("Shift+Tab");
      assert.equal(await focused(page), "401");
    });
  });

  it("retries from a banner and keeps the focus", async () => {
    await visit({ expectedErrors: ["responded with a status of 503"] }, async (page) => {
      await state(page, "composite");
      await press(page, "Legacy service", "Reset body");
      await state(page, "failed");
      const { arrived, release } = await hold(page, "/api/v3/composite-profile/7");
      await page.getByRole("button", { name: "Try again" }).press("Enter");
      await arrived();
      await state(page, "loading"); // the banner has disappeared
      const region = page.getByRole("region", { name: "What a client shows" });
      assert.ok(await region.evaluate((element) => element === document.activeElement));
      await release();
      await state(page, "failed");
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Try again");
    });
  });

  it("announces a change of a process and keeps the focus", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const said = page.locator(".faults [role=status]");
      await page.route("**/demo/processes/mongod/freeze", async (route) => {
        await said.getByText("freeze MongoDB …").waitFor(); // announced before the response
        await route.fulfill({ json: { mongod: "running", weft: "running" } });
      });
      await page.getByRole("button", { name: "Frozen", exact: true }).focus();
      await page.keyboard.press("Enter");
      await page.locator(".faults [role=status]:empty").waitFor({ state: "attached" });
      assert.equal(await focused(page), "Frozen");
    });
  });
});

/** Presses Tab; returns the focused element, or "" if the focus has left the page. */
async function next(page: Page): Promise<string> {
  await page.keyboard.press("Tab");
  const name = await focused(page);
  if (name !== "") {
    assert.equal(
      await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle),
      "solid",
      `one must see that ${name} has the focus`,
    );
  }
  return name;
}

async function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    const element = document.activeElement;
    if (!(element instanceof HTMLElement) || element === document.body) {
      return "";
    }
    const label = element instanceof HTMLInputElement ? element.labels?.[0]?.textContent : undefined;
    return element.getAttribute("aria-label") ?? label ?? element.textContent;
  });
}
