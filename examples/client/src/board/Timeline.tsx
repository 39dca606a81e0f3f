import type { ReactElement } from "react";
import type { Timing } from "./serverTiming";

/** The entries that weft writes, as people call them. */
const labels: Readonly<Record<string, string>> = { legacy: "legacy service", mongodb: "MongoDB", added: "added" };

/** Draws who worked when: the two reads begin together, and what weft added comes after the legacy answer. */
export function Timeline({ timing }: { readonly timing: readonly Timing[] }): ReactElement | null {
  const bars = timing.flatMap(({ name, milliseconds }) => {
    const label = labels[name];
    return label === undefined
      ? []
      : [{ name, label, milliseconds, start: name === "added" ? of(timing, "legacy") : 0 }];
  });
  const length = Math.max(...bars.map(({ start, milliseconds }) => start + milliseconds));
  if (bars.length === 0 || length === 0) {
    return null;
  }
  return (
    <figure className="timeline">
      <figcaption>{caption(timing)}</figcaption>
      {bars.map(({ name, label, milliseconds, start }) => (
        <div key={name} className="row">
          <span>{label}</span>
          <span className="track" aria-hidden="true">
            <span
              className={`bar ${name}`}
              style={{ insetInlineStart: percent(start / length), inlineSize: percent(milliseconds / length) }}
            />
          </span>
          <span>{milliseconds.toFixed(1)} ms</span>
        </div>
      ))}
    </figure>
  );
}

function caption(timing: readonly Timing[]): string {
  const legacy = of(timing, "legacy");
  const mongodb = of(timing, "mongodb");
  return legacy > 0 && mongodb > 0
    ? `The reads overlap: one after the other they would take ${(legacy + mongodb).toFixed(1)} ms.`
    : "Who worked when, from the server-timing header.";
}

function of(timing: readonly Timing[], name: string): number {
  return timing.find((entry) => entry.name === name)?.milliseconds ?? 0;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}
