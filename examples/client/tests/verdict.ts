import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { enterUser, demo, hold, press, state, visit } from "./harness.js";

const joined = "Both systems respond. The response contains the legacy object byte for byte.";
const past =
  "This ID passes to the legacy service unchanged: weft matches only IDs in canonical form, such as 7, because systems interpret others differently.";
const legacyIsLeft = "The response has the core, and extension is null.";
const mongodbIsLeft = "The response has the extension, and core is null.";
const wrongType = "The MongoDB document has a field of another type.";
const noUser = "The legacy service has no such user.";
const refusal =
  "The legacy service rejects the request. A client that may not read the user gets no MongoDB data: the response passes unchanged.";
const midBody =
  "The legacy service resets the connection in the middle of the body. Envoy discards the response and sends a 503 of its own.";
const tooLarge = "The body exceeds the rule’s core.limit. The response passes unchanged, with x-weft.";
const waits = "weft waits within Envoy’s message_timeout, then responds without the extension.";
const slow = "The legacy service takes 0.8 s.";
const gzip = "The legacy service compresses the response without being asked.";
const half = "The legacy service sends half of the JSON in a complete HTTP response.";
const reset = "The legacy service resets the connection instead of responding.";
const fails = "The legacy service fails.";
const neither = "Neither core nor extension is available.";

/** The explanation for a user with core and document, by fault. */
const whole: Readonly<Record<string, string>> = {
  Healthy: joined,
  Slow: `${slow} MongoDB is read concurrently.`,
  "404": `${noUser} On this route, the response has the extension and core is null.`,
  "401": refusal,
  "500": `${fails} ${mongodbIsLeft}`,
  Reset: `${reset} ${mongodbIsLeft}`,
  "Reset body": midBody,
  Truncated: `${half} An invalid core counts as missing.`,
  gzip: `${gzip} weft decompresses it, up to a limit, and composes the response.`,
  "5 MB": tooLarge,
};

/** For a user whose document has a field of another type. */
const withoutExtension: Readonly<Record<string, string>> = {
  Healthy: `${wrongType} ${legacyIsLeft}`,
  Slow: `${slow} ${wrongType} ${legacyIsLeft}`,
  "404": `${noUser} ${wrongType} ${neither}`,
  "401": refusal,
  "500": `${fails} ${wrongType} ${neither}`,
  Reset: `${reset} ${wrongType} ${neither}`,
  "Reset body": midBody,
  Truncated: `${half} ${wrongType} ${neither}`,
  gzip: `${gzip} ${wrongType} ${legacyIsLeft}`,
  "5 MB": tooLarge,
};

/** For a user that the legacy service does not have: most faults have no effect. */
const withoutCore: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(whole).map((fault) => [fault, whole["404"] ?? ""])),
  "401": refusal,
  "500": `${fails} ${mongodbIsLeft}`,
  Reset: `${reset} ${mongodbIsLeft}`,
};

/** For an ID that weft does not match. */
const odd: Readonly<Record<string, string>> = Object.fromEntries(Object.keys(whole).map((fault) => [fault, past]));

const users: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "7": whole,
  "13": { Healthy: joined }, // a missing document is not an error
  "17": withoutExtension,
  "18": withoutExtension,
  "22": withoutExtension,
  "1001": withoutCore,
  "9999": withoutCore,
  "-5": { Healthy: withoutCore.Healthy ?? "" },
  // With this fault Envoy closes the connection in the middle of the body.
  "007": { ...odd, "Reset body": `No complete response. ${past}` },
  "+5": { Healthy: past },
  seven: odd,
  "99999999999999999999": { Healthy: past },
};

/** The browser's console errors for these responses. */
const expectedErrors = [
  ...[400, 401, 404, 500, 503].map((status) => `responded with a status of ${status}`),
  "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
];

describe("explanations", () => {
  after(async () => {
    await demo.change("mongod", "run");
    await demo.change("weft", "run");
  });

  for (const [userId, said] of Object.entries(users)) {
    it(`user ${userId}, by fault of the legacy service`, async () => {
      await visit({ expectedErrors }, async (page) => {
        await state(page, "composite");
        const found: Record<string, string> = {};
        for (const fault of Object.keys(said)) {
          await press(page, "Legacy service", fault);
          await enterUser(page, userId);
          found[fault] = await verdict(page);
        }
        assert.deepEqual(found, said);
      });
    });
  }

  const broken: readonly (readonly [process: string, verb: string, said: Readonly<Record<string, string>>])[] = [
    [
      "mongod",
      "freeze",
      {
        "7 Healthy": `MongoDB is frozen. ${waits}`,
        "7 gzip": `${gzip} MongoDB is frozen. ${waits}`,
        "7 500": `${fails} MongoDB is frozen. ${neither}`,
        "1001 Healthy": `${noUser} MongoDB is frozen. ${neither}`,
        "7 401": refusal,
        "007 Healthy": past,
      },
    ],
    [
      "mongod",
      "stop",
      {
        "7 Healthy": `MongoDB is stopped. ${waits}`,
        "7 Truncated": `${half} MongoDB is stopped. ${neither}`,
        "9999 Healthy": `${noUser} MongoDB is stopped. ${neither}`,
        "7 5 MB": tooLarge,
      },
    ],
    [
      "weft",
      "kill",
      {
        "7 Healthy": "weft is down. Envoy continues without it and keeps the shape of the response.",
        "7 Slow": `${slow} weft is down. Envoy continues without it and keeps the shape of the response.`,
        "17 Healthy": "weft is down. Envoy continues without it and keeps the shape of the response.",
        "7 gzip":
          "weft is down. Envoy continues without it, and the legacy body is not a valid user: neither core nor extension is available.",
        "1001 Healthy":
          "weft is down. Envoy continues without it, and the legacy body is not a valid user: neither core nor extension is available.",
        "7 Reset": `${reset} Envoy discards the response and sends a 503 of its own.`,
        "7 401": "The response has no x-weft header.",
        "007 Healthy": past,
        "seven Healthy": past,
      },
    ],
  ];
  for (const [process, verb, said] of broken) {
    it(`${process} after ${verb}`, async () => {
      await demo.change(process, verb);
      try {
        await visit({ expectedErrors }, async (page) => {
          await state(page, "partial");
          const found: Record<string, string> = {};
          for (const each of Object.keys(said)) {
            const [userId = "", ...fault] = each.split(" ");
            await press(page, "Legacy service", fault.join(" "));
            await enterUser(page, userId);
            found[each] = await verdict(page, process);
          }
          assert.deepEqual(found, said);
        });
      } finally {
        await demo.change(process, "run");
      }
    });
  }

  it("while waiting, and without a response", async () => {
    await visit({ expectedErrors: ["net::ERR_INTERNET_DISCONNECTED"] }, async (page) => {
      await state(page, "composite");
      const { arrived, release } = await hold(page, "/api/v3/composite-profile/17");
      await enterUser(page, "17");
      await arrived();
      await page.locator(".verdict .what").getByText("Waiting for the response.", { exact: true }).waitFor();
      const timeline = page.getByRole("region", { name: "Timeline" });
      assert.equal(await timeline.locator(".timeline").innerText(), "Waiting …");
      assert.doesNotMatch(
        await page.locator("main").innerText(),
        /did not compose|server-timing in this|composed|no x-weft/,
      );
      await release();
      assert.equal(await verdict(page), `${wrongType} ${legacyIsLeft}`);

      await page.context().setOffline(true);
      await enterUser(page, "8");
      await state(page, "failed");
      assert.equal(await verdict(page), "No complete response.");
      assert.equal(await timeline.locator(".timeline").innerText(), "No complete response.");
    });
  });
});

/**
 * The explanation of the response. weft waits for MongoDB nearly as long as Envoy waits for weft, so on a busy machine
 * Envoy may time out first; then the request is sent again.
 */
async function verdict(page: Page, broken = ""): Promise<string> {
  for (let again = 0; ; again++) {
    await page.locator("[data-state=composite], [data-state=partial], [data-state=failed]").waitFor();
    const said = await page.locator(".verdict .what").innerText();
    if (broken !== "mongod" || again === 5 || !said.startsWith("weft does not respond to Envoy in time.")) {
      return said;
    }
    await page.getByRole("button", { name: "Send again" }).click();
  }
}
