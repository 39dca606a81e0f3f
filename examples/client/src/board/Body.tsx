import type { ReactElement } from "react";
import { type Answer, header } from "../answer";
import { membersOf } from "./members";

/** The origin of a body: the legacy service, Envoy, or a composition. */
export type Origin = "legacy" | "envoy" | "both";

/** The origin of the body of a response through Envoy, according to x-weft. */
export function originOf(answer: Answer): Origin {
  const mark = header(answer, "x-weft");
  if (mark === "" || mark.startsWith("passed")) {
    return "legacy";
  }
  return answer.status === 200 ? "both" : "envoy";
}

interface Props {
  readonly label: string;
  readonly text: string;
  readonly origin: Origin;
}

/** A body as received, with a color for each origin. */
export function Body({ label, text, origin }: Props): ReactElement {
  return (
    <pre tabIndex={0} role="region" aria-label={label}>
      {origin === "both" ? <Joined text={text} /> : <span className={origin}>{beginning(text)}</span>}
    </pre>
  );
}

/** The beginning of a long text. */
function beginning(text: string): string {
  const enough = 400;
  return text.length <= enough ? text : `${text.slice(0, enough)} …`;
}

const origins: Readonly<Record<string, string>> = { core: "legacy", extension: "mongodb", errors: "errors" };

function Joined({ text }: { readonly text: string }): ReactElement {
  const members = membersOf(text);
  if (members === undefined) {
    return <>{beginning(text)}</>;
  }
  return (
    <>
      {members.map(({ name, before, value, after }, index) => (
        <span key={index} className="member">
          {before}
          <span className={value === "null" ? "missing" : value === "[]" ? undefined : origins[name]}>
            {beginning(value)}
          </span>
          {after}
        </span>
      ))}
    </>
  );
}
