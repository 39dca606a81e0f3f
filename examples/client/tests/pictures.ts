import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { root } from "./demo.js";
import { demo, press, state, visit } from "./harness.js";

const folder = join(root, "docs/images");

/** Share of pixels that may differ before a screenshot is rewritten: less than a word, more than the edge of a bar. */
const tolerance = 0.0001;

/** Screenshots for the documentation. A run rewrites only those that differ, ignoring times and dates. */
describe("screenshots", () => {
  after(async () => demo.change("mongod", "run"));

  for (const colorScheme of ["light", "dark"] as const) {
    it(`healthy, ${colorScheme}`, async () => {
      await visit({ colorScheme }, async (page) => {
        await complete(page);
        await page.getByRole("button", { name: "Send again" }).click(); // the first request opens connections
        await complete(page);
        await picture(page, `healthy-${colorScheme}.png`, true);
      });
    });
  }

  it("telephone", async () => {
    await visit({ viewport: { width: 360, height: 590 } }, async (page) => {
      await complete(page);
      await page.getByRole("region", { name: "The response" }).evaluate((verdict) => {
        scrollTo(0, verdict.getBoundingClientRect().top - 12);
      });
      await picture(page, "telephone.png", false);
    });
  });

  it("frozen MongoDB", async () => {
    await visit({}, async (page) => {
      await state(page, "composite");
      await press(page, "MongoDB", "Frozen");
      await state(page, "partial");
      await complete(page);
      await picture(page, "mongodb-frozen.png", true);
    });
  });
});

/** Waits for both responses. */
async function complete(page: Page): Promise<void> {
  await page.getByText("The core is the legacy body, byte for byte.").waitFor();
}

async function picture(page: Page, name: string, fullPage: boolean): Promise<void> {
  await page.mouse.move(0, 0);
  await page.evaluate(() => {
    if (document.activeElement instanceof HTMLElement) {
      document.activeElement.blur();
    }
  });
  const missing = await page.evaluate(missingFonts);
  assert.ok(
    missing.length === 0,
    `install ${missing.join(" and ")}; on Debian: apt-get install fonts-inter fonts-jetbrains-mono`,
  );
  const now = await page.screenshot({ fullPage });
  const path = join(folder, name);
  const before = await readFile(path).catch(() => undefined);
  const both = { before: before?.toString("base64") ?? "", now: now.toString("base64"), fullPage };
  const differing = before === undefined ? 1 : await page.evaluate(compare, both);
  if (differing > tolerance) {
    await mkdir(folder, { recursive: true });
    await writeFile(path, now);
    console.log(
      `docs/images/${name} is new: ${(differing * 100).toFixed(3)} % of its pixels differ. Check it and commit it.`,
    );
  }
}

/** Runs in the page: the missing fonts. With other fonts every line of a screenshot would differ. */
function missingFonts(): string[] {
  const context = document.createElement("canvas").getContext("2d");
  if (context === null) {
    return ["a canvas"];
  }
  const width = (font: string) => {
    context.font = font;
    return context.measureText("weft joins").width;
  };
  return ["Inter", "JetBrains Mono"].filter((font) => width(`16px "${font}", serif`) === width("16px serif"));
}

/** Runs in the page: the share of pixels that differ between two PNGs, in base64; 1 for different sizes. */
async function compare(pictures: { before: string; now: string; fullPage: boolean }): Promise<number> {
  const [one, other] = await Promise.all(
    [pictures.before, pictures.now].map(async (base64) => {
      const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob());
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d");
      context?.drawImage(image, 0, 0);
      // Ignore times and dates.
      for (const element of document.querySelectorAll("[data-volatile]")) {
        const { x, y, width, height } = element.getBoundingClientRect();
        context?.clearRect(
          x + (pictures.fullPage ? scrollX : 0) - 1,
          y + (pictures.fullPage ? scrollY : 0) - 1,
          width + 2,
          height + 2,
        );
      }
      return context?.getImageData(0, 0, image.width, image.height);
    }),
  );
  if (one?.width !== other?.width || one?.height !== other?.height || one === undefined || other === undefined) {
    return 1;
  }
  let differing = 0;
  for (let pixel = 0; pixel < one.data.length; pixel += 4) {
    const distance = [0, 1, 2].map((channel) =>
      Math.abs((one.data[pixel + channel] ?? 0) - (other.data[pixel + channel] ?? 0)),
    );
    differing += Math.max(...distance) > 32 ? 1 : 0;
  }
  return (differing * 4) / one.data.length;
}
