import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Page } from "playwright-core";
import { hold, press, state, visit } from "./world.js";

describe("without a mouse", () => {
  it("goes from the user to each button, and to the answers", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await page.getByText("The core is the legacy answer").waitFor();
      const stops: string[] = [];
      for (let stop = await next(page); stop !== ""; stop = await next(page)) {
        stops.push(stop);
      }
      const legacy = ["Healthy", "Slow", "404", "401", "500", "Reset", "Breaks off", "Truncated", "gzip", "5 MB"];
      const processes = ["Running", "Stopped", "Frozen", "Running", "Killed"];
      const bodies = ["Body of the legacy answer", "Body of the composite answer"];
      assert.deepEqual(stops, ["User id", "Show", ...legacy, ...processes, "Ask again", ...bodies]);
    });
  });

  it("asks for a user with Enter, and breaks the legacy service with the space bar; the focus stays", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await page.getByLabel("User id").focus();
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

  it("tries again from a banner, and the focus stays there", async () => {
    await visit({ complaints: ["responded with a status of 503"] }, async (page) => {
      await state(page, "composite");
      await press(page, "Legacy service", "Breaks off");
      await state(page, "failed");
      const { arrived, release } = await hold(page, "/api/v3/composite-profile/7");
      await page.getByRole("button", { name: "Try again" }).press("Enter");
      await arrived();
      await state(page, "loading"); // the banner has gone, and the focus with it, if it were still there
      const region = page.getByRole("region", { name: "What a client shows" });
      assert.ok(await region.evaluate((element) => element === document.activeElement));
      await release();
      await state(page, "failed");
      await page.keyboard.press("Tab");
      assert.equal(await focused(page), "Try again");
    });
  });

  it("hears what a process is doing, and does not lose the focus while it changes", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const said = page.locator(".faults [role=status]");
      await page.route("**/demo/processes/mongod/freeze", async (route) => {
        await said.getByText("freeze MongoDB …").waitFor(); // the answer comes once it was said
        await route.fulfill({ json: { mongod: "running", weft: "running" } });
      });
      await page.getByRole("button", { name: "Frozen", exact: true }).focus();
      await page.keyboard.press("Enter");
      await page.locator(".faults [role=status]:empty").waitFor({ state: "attached" });
      assert.equal(await focused(page), "Frozen");
    });
  });
});

/** Tab; returns what has the focus then, "" when it has left the page. */
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
