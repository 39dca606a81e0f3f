import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Locator, Page } from "playwright-core";
import { enterUser, changeBody, checkAccess, checkWidth, demo, heard, hold, press, state, visit } from "./harness.js";

const refused = "responded with a status of 503";

/** Functions that lead to each state of the profile and return its text. */
const ways: Readonly<Record<string, (page: Page) => Promise<string>>> = {
  empty: async (page) => {
    await state(page, "composite");
    await enterUser(page, "");
    return state(page, "empty");
  },
  loading: async (page) => {
    await state(page, "composite");
    await hold(page, "/api/v3/composite-profile/8");
    await enterUser(page, "8");
    return state(page, "loading");
  },
  composite: async (page) => state(page, "composite"),
  "core missing": async (page) => {
    await enterUser(page, "1001");
    return state(page, "partial");
  },
  "extension missing": async (page) => {
    await enterUser(page, "17");
    return state(page, "partial");
  },
  failed: async (page) => {
    await state(page, "composite");
    await press(page, "Legacy service", "Reset body");
    return state(page, "failed");
  },
};

describe("profile", () => {
  it("shows core, tags, score and settings", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const halves = await page.locator("[data-state] section").allInnerTexts();
      assert.deepEqual(
        halves.map((half) => half.split("\n").filter((line) => line !== "")),
        [
          ["Legacy service", "user7", "User ID", "7", "E-mail", "user7@example.com", "Member since", "2020-02-29"],
          ["MongoDB", "Profile", "Tags", "vip", "Activity score", "25.9", "Settings", "theme dark"],
        ],
      );
      assert.equal(await heard(page), "User 7, user7, is shown.");
    });
  });

  it("keeps large integers and all scripts", async () => {
    await visit({}, async (page) => {
      await enterUser(page, "21");
      await page.getByText("big 9007199254740993", { exact: true }).waitFor();
      await enterUser(page, "19");
      await page.getByText("🧵", { exact: true }).waitFor();
      assert.match(await state(page, "composite"), /größe[^]*织[^]*grüße\.\$" naïve[^]*"" شكرا/);
    });
  });

  it("shows defaults for a missing document, without an error", async () => {
    await visit({}, async (page) => {
      await enterUser(page, "13");
      await page.getByText("user13", { exact: true }).waitFor();
      assert.match(await state(page, "composite"), /Tags\s+none\s+Activity score\s+0\s+Settings\s+none/);
    });
  });

  it("has a banner if the core is missing", async () => {
    await visit({}, async (page) => {
      await enterUser(page, "1001");
      const text = await state(page, "partial");
      assert.match(text, /^Name, e-mail and date are missing\.\s+Failed to fetch core user profile\./);
      assert.match(text, /Name unknown[^]*Tags[^]*Activity score/);
      const said = await heard(page);
      assert.equal(said, "User 1001 is shown in part. Name, e-mail and date are missing.");
    });
  });

  it("has a banner if the extension is missing", async () => {
    await visit({}, async (page) => {
      await enterUser(page, "17");
      const text = await state(page, "partial");
      assert.match(text, /^Tags, score and settings are missing\.\s+Failed to fetch extended user profile\./);
      assert.match(text, /user17@example\.com[^]*Profile unknown/);
    });
  });

  it("shows the detail of a 503, and can retry", async () => {
    await visit({ expectedErrors: [refused] }, async (page) => {
      await state(page, "composite");
      await press(page, "Legacy service", "500");
      await state(page, "partial");
      await demo.change("mongod", "stop");
      try {
        await page.getByRole("button", { name: "Send again" }).click();
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
    it(`shows why the response for ${odd} passed`, async () => {
      await visit({}, async (page) => {
        await state(page, "composite");
        await enterUser(page, odd);
        const text = await state(page, "partial");
        assert.match(
          text,
          /^Tags, score and settings are missing\.\s+The response was not composed\. This ID passes to the legacy service unchanged/,
        );
        assert.match(
          text,
          new RegExp(`User ID\\s+${plain}\\s+E-mail\\s+user${plain}@example\\.com[^]*Profile unknown`),
        );
        await checkAccess(page);
      });
    });
  }

  it("accepts a lone surrogate as ID", async () => {
    await visit({ expectedErrors: ["responded with a status of 400"] }, async (page) => {
      await state(page, "composite");
      // Set by a script, because playwright cannot type it; a paste can.
      await page.getByLabel("User ID").evaluate((input: HTMLInputElement) => {
        input.setRangeText("\ud800", 0, input.value.length);
        input.dispatchEvent(new Event("input", { bubbles: true }));
      });
      await page.getByLabel("User ID").press("Enter");
      assert.match(
        await state(page, "failed"),
        /^User \ufffd cannot be shown\.\s+The service responded 400, Bad Request\./,
      );
      await page.getByRole("article", { name: "The legacy service alone" }).getByText("400", { exact: true }).waitFor();
      await enterUser(page, "8");
      assert.match(await state(page, "composite"), /user8/);
    });
  });

  it("rejects dot segments as IDs", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const asked: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      const field = page.getByLabel("User ID");
      for (const id of [".", " .. "]) {
        await field.fill(id);
        await field.press("Enter");
        assert.equal(
          await field.evaluate((input: HTMLInputElement) => input.validationMessage),
          "A path cannot end in . or .. as an ID.",
        );
      }
      assert.match(await state(page, "composite"), /user7/);
      await enterUser(page, "8");
      await page.getByText("user8", { exact: true }).waitFor();
      assert.deepEqual(
        asked.filter((url) => !/\/8(?:\?|$)|\/demo\/processes$/.test(url)),
        [],
      );
    });
  });

  it("encodes the ID in the path", async () => {
    await visit({ expectedErrors: ["responded with a status of 400"] }, async (page) => {
      await state(page, "composite");
      await enterUser(page, "7/../8");
      assert.match(await state(page, "failed"), /^User 7\/\.\.\/8 cannot be shown\.\s+The service responded 400/);
      for (const name of ["The legacy service alone", "Through Envoy and weft"]) {
        await page.getByRole("article", { name }).getByText('"path":"/api/v1/users/7%2F..%2F8"').waitFor();
      }
    });
  });

  it("isolates right-to-left names", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      const override = "\u202e";
      await changeBody(page, "/api/v3/composite-profile/8", (body) =>
        body.replace(/"customSettings":\{[^}]*\}/, `"customSettings":{"${override}xirp":"${override}12","plain":"34"}`),
      );
      await enterUser(page, "8");
      await state(page, "composite");
      // The value is to the right of the name, as for other settings.
      for (const value of [`${override}12`, "34"]) {
        const row = page.locator("[data-state=composite] dd > div", { hasText: value });
        const [name, text] = await Promise.all([row.locator("code").boundingBox(), edge(row, value)]);
        assert.ok(name !== null && text.left >= name.x + name.width, `${value}: ${JSON.stringify({ name, text })}`);
      }
    });
  });

  for (const [text, shown] of [
    ["7", "7"],
    ["user 7", "user 7"],
    ["2020-13-40", "2020-13-40"],
    ["2020-02-29T23:30:00.000-05:00", "2020-02-29"],
  ] as const) {
    it(`shows the date ${text}`, async () => {
      await visit({}, async (page) => {
        await state(page, "composite");
        await changeBody(page, "/api/v3/composite-profile/8", (body) =>
          body.replace(/"createdAt":"[^"]*"/, `"createdAt":"${text}"`),
        );
        await enterUser(page, "8");
        assert.match(
          await state(page, "composite"),
          new RegExp(`user8@example\\.com\\s+Member since\\s+${shown}\\s+MongoDB`),
        );
      });
    });
  }

  it("shows the error of the legacy service", async () => {
    await visit({ expectedErrors: ["responded with a status of 400"] }, async (page) => {
      await enterUser(page, "seven");
      assert.match(
        await state(page, "failed"),
        /User seven cannot be shown\.\s+The service responded 400, Bad Request\./,
      );
    });
  });

  it("shows that there is no response", async () => {
    await visit({ expectedErrors: ["net::ERR_INTERNET_DISCONNECTED"] }, async (page) => {
      await state(page, "composite");
      await page.context().setOffline(true);
      await enterUser(page, "8");
      assert.match(await state(page, "failed"), /User 8 cannot be shown\.\s+No complete response\./);
      await page.context().setOffline(false);
      await page.getByRole("button", { name: "Try again" }).click();
      assert.match(await state(page, "composite"), /user8/);
    });
  });

  it("differs from state to state", async () => {
    const texts = new Set<string>();
    for (const way of Object.values(ways)) {
      await visit({ expectedErrors: [refused] }, async (page) => {
        texts.add(await way(page));
      });
    }
    assert.equal(texts.size, Object.keys(ways).length);
  });
});

describe("accessibility of every state", () => {
  it("fits 360 px with long words", async () => {
    const expectedErrors = ["responded with a status of 400"];
    await visit({ viewport: { width: 360, height: 740 }, expectedErrors }, async (page) => {
      for (const odd of ["19", "21"]) {
        await enterUser(page, odd);
        await page.getByText(`user${odd}@example.com`, { exact: true }).waitFor();
        await checkWidth(page);
      }
      await enterUser(page, "9".repeat(3000));
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
      it(`${name}, ${colorScheme}: no axe violations at 1280 px and 360 px`, async () => {
        await visit({ colorScheme, expectedErrors: [refused] }, async (page) => {
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

/** The position of a text in an element. */
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
    throw new Error(`${wanted} not found`);
  }, text);
}
