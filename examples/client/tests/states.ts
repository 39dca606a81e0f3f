import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Locator, Page } from "playwright-core";
import { askFor, changeBody, checkAccess, checkWidth, demo, heard, hold, press, state, visit } from "./world.js";

const refused = "responded with a status of 503";

/** Ways into each state of the profile; each returns what is shown then. */
const ways: Readonly<Record<string, (page: Page) => Promise<string>>> = {
  empty: async (page) => {
    await state(page, "composite");
    await askFor(page, "");
    return state(page, "empty");
  },
  loading: async (page) => {
    await state(page, "composite");
    await hold(page, "/api/v3/composite-profile/8");
    await askFor(page, "8");
    return state(page, "loading");
  },
  composite: async (page) => state(page, "composite"),
  "core missing": async (page) => {
    await askFor(page, "1001");
    return state(page, "partial");
  },
  "extension missing": async (page) => {
    await askFor(page, "17");
    return state(page, "partial");
  },
  failed: async (page) => {
    await state(page, "composite");
    await press(page, "Legacy service", "Breaks off");
    return state(page, "failed");
  },
};

describe("what a client shows", () => {
  it("is the core, then tags, score and settings", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const halves = await page.locator("[data-state] section").allInnerTexts();
      assert.deepEqual(
        halves.map((half) => half.split("\n").filter((line) => line !== "")),
        [
          ["Legacy service", "user7", "User id", "7", "E-mail", "user7@example.com", "Member since", "2020-02-29"],
          ["MongoDB", "Profile", "Tags", "vip", "Activity score", "25.9", "Settings", "theme dark"],
        ],
      );
      assert.equal(await heard(page), "User 7, user7, is shown.");
    });
  });

  it("keeps what JavaScript would round, and all scripts", async () => {
    await visit({}, async (page) => {
      await askFor(page, "21");
      await page.getByText("big 9007199254740993", { exact: true }).waitFor();
      await askFor(page, "19");
      await page.getByText("🧵", { exact: true }).waitFor();
      assert.match(await state(page, "composite"), /größe[^]*织[^]*grüße\.\$" naïve[^]*"" شكرا/);
    });
  });

  it("says that a user has no tags and settings, which is no error", async () => {
    await visit({}, async (page) => {
      await askFor(page, "13");
      await page.getByText("user13", { exact: true }).waitFor();
      assert.match(await state(page, "composite"), /Tags\s+none\s+Activity score\s+0\s+Settings\s+none/);
    });
  });

  it("has a banner that says that the core is missing", async () => {
    await visit({}, async (page) => {
      await askFor(page, "1001");
      const text = await state(page, "partial");
      assert.match(text, /^Name, e-mail and date are missing\.\s+Failed to fetch core user profile\./);
      assert.match(text, /Name unknown[^]*Tags[^]*Activity score/);
      const said = await heard(page);
      assert.equal(said, "User 1001 is shown in part. Name, e-mail and date are missing.");
    });
  });

  it("has a banner that says that the extension is missing", async () => {
    await visit({}, async (page) => {
      await askFor(page, "17");
      const text = await state(page, "partial");
      assert.match(text, /^Tags, score and settings are missing\.\s+Failed to fetch extended user profile\./);
      assert.match(text, /user17@example\.com[^]*Profile unknown/);
    });
  });

  it("is the detail of a 503, and a retry that works", async () => {
    await visit({ complaints: [refused] }, async (page) => {
      await state(page, "composite");
      await press(page, "Legacy service", "500");
      await state(page, "partial");
      await demo.change("mongod", "stop");
      try {
        await page.getByRole("button", { name: "Ask again" }).click();
        assert.match(await state(page, "failed"), /User 7 cannot be shown\.\s+All upstream services are unavailable\./);
        const said = await heard(page);
        assert.equal(said, "User 7 cannot be shown. All upstream services are unavailable.");
      } finally {
        await demo.change("mongod", "run");
      }
      await page.getByRole("button", { name: "Try again" }).click();
      assert.match(await state(page, "partial"), /Name, e-mail and date are missing\.[^]*vip/);
    });
  });

  for (const [odd, plain] of [
    ["007", "7"],
    ["+5", "5"],
  ] as const) {
    it(`is the legacy user of ${odd}, who passes as he is, and why`, async () => {
      await visit({}, async (page) => {
        await state(page, "composite");
        await askFor(page, odd);
        const text = await state(page, "partial");
        assert.match(
          text,
          /^Tags, score and settings are missing\.\s+The answer was not joined\. weft lets this id pass to the legacy service/,
        );
        assert.match(
          text,
          new RegExp(`User id\\s+${plain}\\s+E-mail\\s+user${plain}@example\\.com[^]*Profile unknown`),
        );
        await checkAccess(page);
      });
    });
  }

  it("goes on when the id is half a character", async () => {
    await visit({ complaints: ["responded with a status of 400"] }, async (page) => {
      await state(page, "composite");
      // A script, since neither a keyboard nor playwright can write it; a clipboard can.
      await page.getByLabel("User id").evaluate((input: HTMLInputElement) => {
        input.setRangeText("\ud800", 0, input.value.length);
        input.dispatchEvent(new Event("input", { bubbles: true }));
      });
      await page.getByLabel("User id").press("Enter");
      assert.match(
        await state(page, "failed"),
        /^User \ufffd cannot be shown\.\s+The service answered 400, Bad Request\./,
      );
      await page.getByRole("article", { name: "The legacy service alone" }).getByText("400", { exact: true }).waitFor();
      await askFor(page, "8");
      assert.match(await state(page, "composite"), /user8/);
    });
  });

  it("refuses ids that a browser would take for a step in the path", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const asked: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      const field = page.getByLabel("User id");
      for (const id of [".", " .. "]) {
        await field.fill(id);
        await field.press("Enter");
        assert.equal(
          await field.evaluate((input: HTMLInputElement) => input.validationMessage),
          "No path can end in . or .. as an id.",
        );
      }
      assert.match(await state(page, "composite"), /user7/);
      await askFor(page, "8");
      await page.getByText("user8", { exact: true }).waitFor();
      assert.deepEqual(
        asked.filter((url) => !/\/8(?:\?|$)|\/demo\/processes$/.test(url)),
        [],
      );
    });
  });

  it("is of the id that was asked for, and not of another path", async () => {
    await visit({ complaints: ["responded with a status of 400"] }, async (page) => {
      await state(page, "composite");
      await askFor(page, "7/../8");
      assert.match(await state(page, "failed"), /^User 7\/\.\.\/8 cannot be shown\.\s+The service answered 400/);
      for (const name of ["The legacy service alone", "Through Envoy and weft"]) {
        await page.getByRole("article", { name }).getByText('"path":"/api/v1/users/7%2F..%2F8"').waitFor();
      }
    });
  });

  it("keeps a name that runs from right to left from turning what stands beside it", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const override = "\u202e";
      await changeBody(page, "/api/v3/composite-profile/8", (body) =>
        body.replace(/"customSettings":\{[^}]*\}/, `"customSettings":{"${override}xirp":"${override}12","plain":"34"}`),
      );
      await askFor(page, "8");
      await state(page, "composite");
      // The value stands right of the name, as that of any other setting does.
      for (const value of [`${override}12`, "34"]) {
        const row = page.locator("dd > div", { hasText: value });
        const [name, beside] = await Promise.all([row.locator("code").boundingBox(), edge(row, value)]);
        assert.ok(name !== null && beside.left >= name.x + name.width, `${value}: ${JSON.stringify({ name, beside })}`);
      }
    });
  });

  for (const [text, shown] of [
    ["7", "7"],
    ["user 7", "user 7"],
    ["2020-13-40", "2020-13-40"],
    ["2020-02-29T23:30:00.000-05:00", "2020-02-29"],
  ] as const) {
    it(`is the day of ${text}, if it is one`, async () => {
      await visit({}, async (page) => {
        await state(page, "composite");
        await changeBody(page, "/api/v3/composite-profile/8", (body) =>
          body.replace(/"createdAt":"[^"]*"/, `"createdAt":"${text}"`),
        );
        await askFor(page, "8");
        assert.match(
          await state(page, "composite"),
          new RegExp(`user8@example\\.com\\s+Member since\\s+${shown}\\s+MongoDB`),
        );
      });
    });
  }

  it("is what the legacy service says when it refuses", async () => {
    await visit({ complaints: ["responded with a status of 400"] }, async (page) => {
      await askFor(page, "seven");
      assert.match(
        await state(page, "failed"),
        /User seven cannot be shown\.\s+The service answered 400, Bad Request\./,
      );
    });
  });

  it("says so when no answer comes", async () => {
    await visit({ complaints: ["net::ERR_INTERNET_DISCONNECTED"] }, async (page) => {
      await state(page, "composite");
      await page.context().setOffline(true);
      await askFor(page, "8");
      assert.match(await state(page, "failed"), /User 8 cannot be shown\.\s+No whole answer came\./);
      await page.context().setOffline(false);
      await page.getByRole("button", { name: "Try again" }).click();
      assert.match(await state(page, "composite"), /user8/);
    });
  });

  it("differs from state to state", async () => {
    const texts = new Set<string>();
    for (const way of Object.values(ways)) {
      await visit({ complaints: [refused] }, async (page) => {
        texts.add(await way(page));
      });
    }
    assert.equal(texts.size, Object.keys(ways).length);
  });
});

describe("every state can be used", () => {
  it("at 360 px, however long the words are", async () => {
    const complaints = ["responded with a status of 400"];
    await visit({ viewport: { width: 360, height: 740 }, complaints }, async (page) => {
      for (const odd of ["19", "21"]) {
        await askFor(page, odd);
        await page.getByText(`user${odd}@example.com`, { exact: true }).waitFor();
        await checkWidth(page);
      }
      await askFor(page, "9".repeat(3000));
      assert.match(await state(page, "failed"), /^User 9{40}… cannot be shown\./);
      const [request] = await page
        .locator(".request")
        .evaluateAll((all) => all.map(({ clientHeight }) => clientHeight));
      assert.ok(request !== undefined && request < 100, `the path of a long id takes ${request} px`);
      await checkWidth(page);
      await checkAccess(page);
    });
  });

  for (const [name, way] of Object.entries(ways)) {
    for (const colorScheme of ["light", "dark"] as const) {
      it(`${name}, ${colorScheme}: nothing that axe objects to, at 1280 px and at 360 px`, async () => {
        await visit({ colorScheme, complaints: [refused] }, async (page) => {
          await way(page);
          await checkAccess(page);
          await page.setViewportSize({ width: 360, height: 740 });
          await checkAccess(page);
          await checkWidth(page);
        });
      });
    }
  }
});

/** Where a text stands inside an element. */
async function edge(element: Locator, text: string): Promise<{ left: number }> {
  return element.evaluate((node, wanted) => {
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      if (walker.currentNode.textContent === wanted) {
        const range = document.createRange();
        range.selectNode(walker.currentNode);
        return { left: range.getBoundingClientRect().left };
      }
    }
    throw new Error(`${wanted} is not there`);
  }, text);
}
