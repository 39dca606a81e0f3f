import assert from "node:assert/strict";
import { after, before } from "node:test";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page, type Request } from "playwright-core";
import { type Demo, startDemo } from "./demo.js";

/** Shared by all tests; set before the first one. */
export let demo: Demo;
export let browser: Browser;

before(async () => {
  demo = await startDemo();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // An attacker's name that resolves to this machine (DNS rebinding).
      "--host-resolver-rules=MAP *.example 127.0.0.1",
    ],
  });
});

after(async () => {
  await browser.close();
  await demo.stop();
});

interface Options extends BrowserContextOptions {
  /** Parts of console errors that the browser may print, for example for a 503. */
  readonly expectedErrors?: readonly string[];
  /** Default: the demo's page. */
  readonly url?: string;
}

/** Opens the page and runs a test. Fails on other errors and warnings in the browser's console. */
export async function visit(options: Options, test: (page: Page) => Promise<void>): Promise<void> {
  const { expectedErrors = [], url = demo.url, ...rest } = options;
  const context = await browser.newContext({
    reducedMotion: "reduce",
    viewport: { width: 1280, height: 800 },
    ...rest,
  });
  const page = await context.newPage();
  const heard: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning", "assert"].includes(message.type())) {
      heard.push(`${message.text()} (${message.location().url})`);
    }
  });
  page.on("pageerror", (error) => heard.push(String(error)));
  await page.addInitScript(recordProfile);
  try {
    await page.goto(url);
    await test(page);
    assert.deepEqual(
      heard.filter((line) => !expectedErrors.some((expected) => line.includes(expected))),
      [],
      "the console must be empty",
    );
  } finally {
    // Callbacks of routes would reject for requests that are open when the page closes.
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  }
}

/** Runs in the page: records each state of the profile with its text, even if it lasts only one frame. */
function recordProfile(): void {
  const seen: string[] = [];
  Object.assign(window, { seen });
  new MutationObserver(() => {
    const profile = document.querySelector<HTMLElement>("[data-state]");
    const line = `${profile?.dataset.state ?? "nothing"}: ${profile?.textContent ?? ""}`;
    if (seen.at(-1) !== line) {
      seen.push(line);
    }
  }).observe(document, { attributes: true, characterData: true, childList: true, subtree: true });
}

/** All states of the profile since the page was opened, such as "loading: Loading user 7 …". */
export async function seen(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { seen: string[] }).seen);
}

/** Waits for a state of the profile and returns its text. */
export async function state(page: Page, kind: string): Promise<string> {
  const profile = page.locator(`[data-state="${kind}"]`);
  await profile.waitFor().catch(async () => {
    throw new Error(`the profile must become ${kind}; the page shows:\n${await page.locator("main").innerText()}`);
  });
  return profile.innerText();
}

/** The text of the live region for screen readers. */
export async function heard(page: Page): Promise<string | null> {
  return page.getByRole("region", { name: "What a client shows" }).getByRole("status").textContent();
}

/** Enters a user ID with the keyboard. */
export async function enterUser(page: Page, userId: string): Promise<void> {
  await page.getByLabel("User ID").fill(userId);
  await page.getByLabel("User ID").press("Enter");
}

/** Presses a button of the failure board. */
export async function press(page: Page, group: string, button: string): Promise<void> {
  await page
    .getByRole("group", { name: group, exact: true })
    .getByRole("button", { name: button, exact: true })
    .click();
}

/** Checks that axe finds no violations. */
export async function checkAccess(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: typeof axe }).axe.run();
    return violations.map(
      ({ id, impact, nodes }) => `${id} (${impact ?? ""}): ${nodes.map((node) => node.html).join(" ")}`,
    );
  });
  assert.deepEqual(found, []);
}

/** Checks that the page does not scroll horizontally. */
export async function checkWidth(page: Page): Promise<void> {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.equal(content, window, "the page must not scroll horizontally");
}

/** Changes the body of responses to a path, for bodies that the demo's services do not send. */
export async function changeBody(page: Page, path: string, change: (body: string) => string): Promise<void> {
  await page.route(
    (url) => url.pathname === path,
    async (route) => {
      const response = await route.fetch();
      const body = await response.text();
      const changed = change(body);
      assert.notEqual(changed, body, `${path} must be changed`);
      await route.fulfill({ response, body: changed });
    },
  );
}

interface Held {
  /** Resolves when the held response has arrived; rejects if the page sends no request. */
  readonly arrived: () => Promise<void>;
  /** Releases the response; resolves when the page has handled it or had aborted the request. */
  readonly release: () => Promise<void>;
  /** How the request ended: "" with the response, net::ERR_ABORTED if the page aborted it. */
  readonly ended: Promise<string>;
}

/** Holds the response to the next request for a path. */
export async function hold(page: Page, path: string): Promise<Held> {
  const arrived = gate();
  const released = gate();
  const asked = page.waitForRequest((request) => new URL(request.url()).pathname === path);
  asked.catch(() => undefined); // arrived() reports it
  const ended = new Promise<string>((resolve) => {
    const end = (request: Request) => {
      if (new URL(request.url()).pathname === path) {
        resolve(request.failure()?.errorText ?? "");
      }
    };
    page.on("requestfailed", end).on("requestfinished", end);
  });
  let isNext = true; // not times: 1, because the end of the last route would release all held responses
  await page.route(
    (url) => url.pathname === path,
    async (route) => {
      if (!isNext) {
        await route.fallback();
        return;
      }
      isNext = false;
      const response = await route.fetch();
      arrived.open();
      await released.opened;
      await route.fulfill({ response }).catch(() => undefined); // aborted
    },
  );
  return {
    arrived: async () => {
      await asked;
      await arrived.opened;
    },
    ended,
    release: async () => {
      released.open();
      await ended;
      await settled(page);
    },
  };
}

/** A promise with a function that resolves it. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let resolve: () => void;
  const opened = new Promise<void>((each) => {
    resolve = each;
  });
  return {
    open: () => {
      resolve();
    },
    opened,
  };
}

/** Waits two frames, so that the page has rendered. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        requestAnimationFrame(() => requestAnimationFrame(resolve));
      }),
  );
}
