import assert from "node:assert/strict";
import { after, before } from "node:test";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page, type Request } from "playwright-core";
import { type Demo, startDemo } from "./demo.js";

/** What all tests share. It is there once the first one runs. */
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
      // A name that the attacker of the control endpoint owns, and lets point to this machine.
      "--host-resolver-rules=MAP *.example 127.0.0.1",
    ],
  });
});

after(async () => {
  await browser.close();
  await demo.stop();
});

interface Options extends BrowserContextOptions {
  /** What the browser itself may say in the console, as a part of it: that an answer was a 503, for example. */
  readonly complaints?: readonly string[];
  /** Where to go; the demo's page if it is left out. */
  readonly url?: string;
}

/** Opens the page, and has the visit fail when anything is wrong in the browser's console. */
export async function visit(options: Options, visiting: (page: Page) => Promise<void>): Promise<void> {
  const { complaints = [], url = demo.url, ...rest } = options;
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
    await visiting(page);
    assert.deepEqual(
      heard.filter((line) => !complaints.some((complaint) => line.includes(complaint))),
      [],
      "the console must be empty",
    );
  } finally {
    // What the page still asks for as it closes has nobody to answer to: the callbacks of its routes would reject unheard.
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  }
}

/** Runs in the page: notes each state of the profile with its text, even when it is there for one frame only. */
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

/** All that the profile has shown since the page was opened, as in "loading: Loading user 7 …". */
export async function seen(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { seen: string[] }).seen);
}

/** Waits until the profile is in a state, and returns its text. */
export async function state(page: Page, kind: string): Promise<string> {
  const profile = page.locator(`[data-state="${kind}"]`);
  await profile.waitFor().catch(async () => {
    throw new Error(`the profile must become ${kind}; the page shows:\n${await page.locator("main").innerText()}`);
  });
  return profile.innerText();
}

/** What those hear who do not see the page. */
export async function heard(page: Page): Promise<string | null> {
  return page.locator(".results [role=status]").textContent();
}

/** Asks for a user as one does with the keyboard. */
export async function askFor(page: Page, userId: string): Promise<void> {
  await page.getByLabel("User id").fill(userId);
  await page.getByLabel("User id").press("Enter");
}

/** Presses a button of the failure board. */
export async function press(page: Page, group: string, button: string): Promise<void> {
  await page
    .getByRole("group", { name: group, exact: true })
    .getByRole("button", { name: button, exact: true })
    .click();
}

/** Finds nothing that axe objects to, be it serious or not. */
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

/** Nothing sticks out to the side. */
export async function checkWidth(page: Page): Promise<void> {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.equal(content, window, "the page must not scroll to the side");
}

/** Changes the body of the real answers to a path: for what the demo's services do not say. */
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
  /** Resolves when the answer has arrived at the browser, which holds it back; rejects when the page does not ask. */
  readonly arrived: () => Promise<void>;
  /** Lets the page have the answer; resolves when it has dealt with it, or had given up before. */
  readonly release: () => Promise<void>;
  /** How the request ended: "" with the answer, net::ERR_ABORTED when the page gave it up. */
  readonly ended: Promise<string>;
}

/** Holds back the real answer to the next request for a path. */
export async function hold(page: Page, path: string): Promise<Held> {
  const arrived = gate();
  const released = gate();
  const asked = page.waitForRequest((request) => new URL(request.url()).pathname === path);
  asked.catch(() => undefined); // who waits for it hears
  const ended = new Promise<string>((resolve) => {
    const end = (request: Request) => {
      if (new URL(request.url()).pathname === path) {
        resolve(request.failure()?.errorText ?? "");
      }
    };
    page.on("requestfailed", end).on("requestfinished", end);
  });
  let isNext = true; // and not times: 1, since the end of the last route lets go of all that others hold
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
      await route.fulfill({ response }).catch(() => undefined); // given up
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

/** What one waits for, and another opens. */
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

/** Two frames later, what the page has heard is on the screen. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        requestAnimationFrame(() => requestAnimationFrame(resolve));
      }),
  );
}
