import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { askFor, demo, hold, press, state, visit } from "./world.js";

const joined = "Both systems answer. Their answers are joined; the legacy object is in there byte for byte.";
const past =
  "weft lets this id pass to the legacy service: it takes ids in their plain spelling only, such as 7, since systems read others differently, or not at all.";
const legacyIsLeft = "The legacy half is left, and the answer says which one is missing.";
const mongodbIsLeft = "MongoDB’s half is left, and the answer says which one is missing.";
const wrongType = "MongoDB’s document has a field of a wrong type.";
const noUser = "The legacy service knows no such user.";
const refusal =
  "The legacy service refuses. Who may not read the user gets nothing of MongoDB either: the refusal passes as it is.";
const midBody =
  "The legacy service resets the connection in the middle of its body. Envoy drops what it has, and answers 503 by itself.";
const tooLarge =
  "The legacy service sends more than the rule lets weft hold. The answer passes untouched, and is marked.";
const waits = "weft waits for it for as long as Envoy’s message_timeout allows, then answers without it.";
const slow = "The legacy service takes 0.8 s.";
const gzip = "The legacy service compresses, although nobody asked it to.";
const half = "The legacy service sends half of the JSON, in an HTTP answer that is complete.";
const reset = "The legacy service resets the connection in place of an answer.";
const fails = "The legacy service fails.";
const neither = "Neither half is left.";

/** What is said of a user of whom both halves are there, for each fault. */
const whole: Readonly<Record<string, string>> = {
  Healthy: joined,
  Slow: `${slow} MongoDB is read meanwhile.`,
  "404": `${noUser} This route answers with MongoDB’s half alone.`,
  "401": refusal,
  "500": `${fails} ${mongodbIsLeft}`,
  Reset: `${reset} ${mongodbIsLeft}`,
  "Breaks off": midBody,
  Truncated: `${half} Half a user is never joined: it counts as missing.`,
  gzip: `${gzip} weft unpacks the answer, within a limit, and joins it.`,
  "5 MB": tooLarge,
};

/** The same of a user whose document has a wrong type. */
const withoutExtension: Readonly<Record<string, string>> = {
  Healthy: `${wrongType} ${legacyIsLeft}`,
  Slow: `${slow} ${wrongType} ${legacyIsLeft}`,
  "404": `${noUser} ${wrongType} ${neither}`,
  "401": refusal,
  "500": `${fails} ${wrongType} ${neither}`,
  Reset: `${reset} ${wrongType} ${neither}`,
  "Breaks off": midBody,
  Truncated: `${half} ${wrongType} ${neither}`,
  gzip: `${gzip} ${wrongType} ${legacyIsLeft}`,
  "5 MB": tooLarge,
};

/** The same of a user whom the legacy service does not have: it has nothing to break off, to compress and to make long. */
const withoutCore: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(whole).map((fault) => [fault, whole["404"] ?? ""])),
  "401": refusal,
  "500": `${fails} ${mongodbIsLeft}`,
  Reset: `${reset} ${mongodbIsLeft}`,
};

/** The same of an id that weft does not take. */
const odd: Readonly<Record<string, string>> = Object.fromEntries(Object.keys(whole).map((fault) => [fault, past]));

const users: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "7": whole,
  "13": { Healthy: joined }, // no document is no failure
  "17": withoutExtension,
  "18": withoutExtension,
  "22": withoutExtension,
  "1001": withoutCore,
  "9999": withoutCore,
  "-5": { Healthy: withoutCore.Healthy ?? "" },
  // Its last fault has Envoy end the connection inside the body: nobody joins it, nobody puts it right.
  "007": { ...odd, "Breaks off": `No whole answer came. ${past}` },
  "+5": { Healthy: past },
  seven: odd,
  "99999999999999999999": { Healthy: past },
};

/** What the browser says by itself of such answers. */
const complaints = [
  ...[400, 401, 404, 500, 503].map((status) => `responded with a status of ${status}`),
  "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
];

describe("what is said of an answer is true of it", () => {
  after(async () => {
    await demo.change("mongod", "run");
    await demo.change("weft", "run");
  });

  for (const [userId, said] of Object.entries(users)) {
    it(`user ${userId}, with each fault of the legacy service`, async () => {
      await visit({ complaints }, async (page) => {
        await state(page, "composite");
        const found: Record<string, string> = {};
        for (const fault of Object.keys(said)) {
          await press(page, "Legacy service", fault);
          await askFor(page, userId);
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
        "7 Healthy": `MongoDB is there, and says nothing. ${waits}`,
        "7 gzip": `${gzip} MongoDB is there, and says nothing. ${waits}`,
        "7 500": `${fails} MongoDB is there, and says nothing. ${neither}`,
        "1001 Healthy": `${noUser} MongoDB is there, and says nothing. ${neither}`,
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
        "7 Healthy": "weft is dead. Envoy goes on without it, and keeps the shape of the answer.",
        "7 Slow": `${slow} weft is dead. Envoy goes on without it, and keeps the shape of the answer.`,
        "17 Healthy": "weft is dead. Envoy goes on without it, and keeps the shape of the answer.",
        "7 gzip":
          "weft is dead. Envoy goes on without it, and finds no user in what the legacy service answers: neither half is left.",
        "1001 Healthy":
          "weft is dead. Envoy goes on without it, and finds no user in what the legacy service answers: neither half is left.",
        "7 Reset": `${reset} Envoy drops what it has, and answers 503 by itself.`,
        "7 401": "Nobody says that weft had a part in this answer.",
        "007 Healthy": past,
        "seven Healthy": past,
      },
    ],
  ];
  for (const [process, verb, said] of broken) {
    it(`${process} after ${verb}`, async () => {
      await demo.change(process, verb);
      try {
        await visit({ complaints }, async (page) => {
          await state(page, "partial");
          const found: Record<string, string> = {};
          for (const each of Object.keys(said)) {
            const [userId = "", ...fault] = each.split(" ");
            await press(page, "Legacy service", fault.join(" "));
            await askFor(page, userId);
            found[each] = await verdict(page, process);
          }
          assert.deepEqual(found, said);
        });
      } finally {
        await demo.change(process, "run");
      }
    });
  }

  it("nothing, while the answer is on its way, and that there was none", async () => {
    await visit({ complaints: ["net::ERR_INTERNET_DISCONNECTED"] }, async (page) => {
      await state(page, "composite");
      const { arrived, release } = await hold(page, "/api/v3/composite-profile/17");
      await askFor(page, "17");
      await arrived();
      await page.locator(".verdict .what").getByText("Waiting for the answer.", { exact: true }).waitFor();
      const timeline = page.getByRole("region", { name: "Who worked when" });
      assert.equal(await timeline.locator(".timeline").innerText(), "Asking …");
      assert.doesNotMatch(await page.locator("main").innerText(), /did not join|server-timing in this|joined|no part/);
      await release();
      assert.equal(await verdict(page), `${wrongType} ${legacyIsLeft}`);

      await page.context().setOffline(true);
      await askFor(page, "8");
      await state(page, "failed");
      assert.equal(await verdict(page), "No whole answer came.");
      assert.equal(await timeline.locator(".timeline").innerText(), "No whole answer came.");
    });
  });
});

/**
 * What the page says of the answer, once it is there. weft waits for MongoDB nearly as long as Envoy waits for weft: on a
 * machine that is busy with other things Envoy may give up first, and then one asks again.
 */
async function verdict(page: Page, broken = ""): Promise<string> {
  for (let again = 0; ; again++) {
    await page.locator("[data-state=composite], [data-state=partial], [data-state=failed]").waitFor();
    const said = await page.locator(".verdict .what").innerText();
    if (broken !== "mongod" || again === 5 || !said.startsWith("weft does not answer Envoy, or not in time.")) {
      return said;
    }
    await page.getByRole("button", { name: "Ask again" }).click();
  }
}
