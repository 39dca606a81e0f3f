import type { ReactElement } from "react";
import type { Core } from "../contract";
import { showAge, type Stale } from "./stale";

interface Props {
  readonly core: Core;
  readonly stale: Stale;
}

/** The core, from the legacy service. */
export function CoreView({ core, stale }: Props): ReactElement {
  return (
    <section className="half core" aria-labelledby="core-title">
      <p className="source">Legacy service</p>
      <h3 id="core-title">{core.username}</h3>
      {stale.core && (
        <p className="stale" data-volatile>
          An older copy{stale.age !== undefined && `, from ${showAge(stale.age)} ago`}
        </p>
      )}
      <dl>
        <dt>User ID</dt>
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

/** The date of an ISO 8601 time, in its own time zone. Other text is shown unchanged. */
function Day({ time }: { readonly time: string }): ReactElement {
  // Date would accept "7" as a day in 2001.
  const day = /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?:T\d\d:\d\d.*)?$/.exec(time)?.[1];
  return day === undefined ? <>{time}</> : <time dateTime={time}>{day}</time>;
}
