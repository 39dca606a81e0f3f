import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { enterUser, hold, press, seen, state, visit } from "./harness.js";

const aborted = "net::ERR_ABORTED";

describe("common defects of clients", () => {
  it("shows nothing of the previous user after a failure", async () => {
    await visit({ expectedErrors: ["responded with a status of 503"] }, async (page) => {
      assert.match(await state(page, "composite"), /user7@example\.com/);
      const before = await seen(page);
      await press(page, "Legacy service", "Reset body");
      await enterUser(page, "8");
      await page.getByText("User 8 cannot be shown.", { exact: true }).waitFor();
      assert.doesNotMatch(await page.locator("main").innerText(), /user7@|vip/);
      const after = (await seen(page)).slice(before.length);
      assert.ok(after.length > 0 && after.every((line) => !line.includes("user7@")), after.join("\n"));
    });
  });

  it("shows nothing of the previous user while the next one loads", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const { arrived, release } = await hold(page, "/api/v3/composite-profile/8");
      await enterUser(page, "8");
      await arrived();
      assert.equal(await state(page, "loading"), "Loading user 8 …");
      assert.equal(await page.getByText(/user7|vip/).count(), 0);
      await release();
      assert.match(await state(page, "composite"), /user8@example\.com/);
    });
  });

  it("aborts the request when the user changes; an old response overwrites nothing", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const old = await hold(page, "/api/v3/composite-profile/8");
      const oldLegacy = await hold(page, "/demo/legacy/8");
      await enterUser(page, "8");
      await Promise.all([old.arrived(), oldLegacy.arrived()]);
      await enterUser(page, "9");
      await page.getByText("user9@example.com", { exact: true }).waitFor();
      await old.release();
      await oldLegacy.release();
      assert.match(await state(page, "composite"), /user9@example\.com/);
      assert.ok((await seen(page)).every((line) => !line.includes("user8@")));
      assert.doesNotMatch(await page.locator("main").innerText(), /user8/);
      assert.equal(await old.ended, aborted);
      assert.equal(await oldLegacy.ended, aborted);
    });
  });

  it("shows the loading state before a failure", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const kinds = (await seen(page)).map((line) => line.slice(0, line.indexOf(":")));
      assert.deepEqual(kinds, ["nothing", "empty", "loading", "composite"]);
      await enterUser(page, "8");
      await page.getByText("user8@example.com", { exact: true }).waitFor();
      const all = await seen(page);
      assert.deepEqual(all.slice(kinds.length)[0], "loading: Loading user 8 …");
      assert.ok(
        all.every((line) => !/^failed|cannot be shown|missing/.test(line)),
        all.join("\n"),
      );
    });
  });

  it("always shows that the extension failed", async () => {
    await visit({}, async (page) => {
      await enterUser(page, "18");
      assert.match(await state(page, "partial"), /Tags, score and settings are missing\./);
      assert.ok((await seen(page)).every((line) => !line.startsWith("composite") || !line.includes("user18")));
    });
  });

  it("does not update unmounted components", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const composite = await hold(page, "/api/v3/composite-profile/8");
      const legacy = await hold(page, "/demo/legacy/8");
      await enterUser(page, "8");
      await Promise.all([composite.arrived(), legacy.arrived()]);
      await enterUser(page, ""); // unmounts both cards
      await state(page, "empty");
      assert.equal(await page.getByRole("heading", { name: "On the wire" }).count(), 0);
      await composite.release();
      await legacy.release();
      assert.equal(await composite.ended, aborted);
      assert.equal(await legacy.ended, aborted);
      assert.equal((await seen(page)).at(-1)?.startsWith("empty"), true);
    });
  });
});
