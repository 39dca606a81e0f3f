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
          <Day time={core.createdAt} />
        </dd>
      </dl>
    </section>
  );
}

/** The day of an ISO 8601 time, where it was that day; text that is none stays as it is. */
function Day({ time }: { readonly time: string }): ReactElement {
  // A browser's Date would take "7" for a day of 2001, too.
  const day = /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?:T\d\d:\d\d.*)?$/.exec(time)?.[1];
  return day === undefined ? <>{time}</> : <time dateTime={time}>{day}</time>;
}
