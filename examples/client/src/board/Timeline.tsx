import type { ReactElement } from "react";
import type { Timing } from "./serverTiming";

interface Span {
  readonly kind: string;
  /** Milliseconds after the request. */
  readonly start: number;
  readonly duration: number;
}

interface Row {
  readonly label: string;
  readonly spans: readonly Span[];
}

/** The timeline: the legacy request and the MongoDB read start together; weft's time follows the legacy response. */
export function Timeline({ timing }: { readonly timing: readonly Timing[] }): ReactElement {
  const rows = rowsOf(timing);
  const length = Math.max(...rows.flatMap(({ spans }) => spans.map(({ start, duration }) => start + duration)));
  if (rows.length === 0 || length === 0) {
    return (
      <div className="timeline">
        <p className="quiet">No server-timing in this response: weft did not compose it.</p>
      </div>
    );
  }
  return (
    <figure className="timeline">
      <figcaption data-volatile>{caption(timing)}</figcaption>
      {rows.map(({ label, spans }) => (
        <div key={label} className="row">
          <span>{label}</span>
          <span className="track" aria-hidden="true" data-volatile>
            {spans.map(({ kind, start, duration }) => (
              <span
                key={kind}
                className={`bar ${kind}`}
                style={{ insetInlineStart: percent(start / length), inlineSize: percent(duration / length) }}
              />
            ))}
          </span>
          <span data-volatile>{show(spans.reduce((sum, { duration }) => sum + duration, 0))}</span>
        </div>
      ))}
    </figure>
  );
}

function rowsOf(timing: readonly Timing[]): readonly Row[] {
  const legacy = durationOf(timing, "legacy");
  const mongodb = durationOf(timing, "mongodb");
  const weft = durationOf(timing, "weft");
  if (legacy === undefined) {
    return [];
  }
  const rows: Row[] = [{ label: "legacy service", spans: [{ kind: "legacy", start: 0, duration: legacy }] }];
  if (mongodb !== undefined) {
    rows.push({ label: "MongoDB", spans: [{ kind: "mongodb", start: 0, duration: mongodb }] });
  }
  if (weft !== undefined) {
    rows.push({ label: "added by weft", spans: [{ kind: "weft", start: legacy, duration: weft }] });
  }
  if (mongodb !== undefined) {
    rows.push({
      label: "sequential",
      spans: [
        { kind: "would legacy", start: 0, duration: legacy },
        { kind: "would mongodb", start: legacy, duration: mongodb },
      ],
    });
  }
  return rows;
}

function caption(timing: readonly Timing[]): string {
  const legacy = durationOf(timing, "legacy") ?? 0;
  const mongodb = durationOf(timing, "mongodb");
  const weft = durationOf(timing, "weft") ?? 0;
  if (mongodb === undefined) {
    return `The document is in weft’s cache, so MongoDB is not read; weft adds ${show(weft)}.`;
  }
  if (mongodb > legacy) {
    return `The legacy service responds after ${show(legacy)}; weft waits ${show(weft)} more for MongoDB.`;
  }
  return `The read takes ${show(mongodb)}, concurrently with the legacy service; weft adds ${show(weft)}.`;
}

function durationOf(timing: readonly Timing[], name: string): number | undefined {
  return timing.find((entry) => entry.name === name)?.milliseconds;
}

/** Formats a duration with two or three significant digits. */
function show(milliseconds: number): string {
  return `${milliseconds.toFixed(milliseconds < 1 ? 2 : milliseconds < 100 ? 1 : 0)} ms`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}
