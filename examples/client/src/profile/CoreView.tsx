import type { ReactElement } from "react";
import type { Core } from "../contract";

/** The legacy service's half. */
export function CoreView({ core }: { readonly core: Core }): ReactElement {
  return (
    <section className="half core" aria-labelledby="core-title">
      <p className="source">Legacy service</p>
      <h3 id="core-title">{core.username}</h3>
      <dl>
        <dt>User id</dt>
        <dd>{core.userId.toString()}</dd>
        <dt>E-mail</dt>
        <dd>{core.email}</dd>
        <dt>Member since</dt>
        <dd>
          <time dateTime={core.createdAt}>{day(core.createdAt)}</time>
        </dd>
      </dl>
    </section>
  );
}

/** The day of an ISO 8601 time; text that is none stays as it is. */
function day(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : date.toISOString().slice(0, 10);
}
