import type { ReactElement } from "react";
import { header } from "../answer";
import { pathOf } from "../profile/fetchProfile";
import { type Requested, useProfile } from "../profile/store";
import { explain } from "./explain";
import { useBoard } from "./store";

/** The request, the response, and an explanation. */
export function Verdict({ profile }: { readonly profile: Requested }): ReactElement {
  const processes = useBoard((store) => store.processes) ?? {};
  const retry = useProfile((store) => store.retry);
  const { status, mark, reason } = verdictOf(profile);
  return (
    <section className={`verdict ${mark} ${profile.kind}`} aria-label="The response">
      <p className="request">
        <code>GET {pathOf(profile.request)}</code>
      </p>
      <p className="outcome">
        <strong data-role="status">{status}</strong>
        <span data-role="mark">{mark}</span>
        <code data-role="reason">{reason}</code>
      </p>
      <button type="button" onClick={() => void retry()}>
        Send again
      </button>
      <p className="what">{explain(profile, processes)}</p>
    </section>
  );
}

interface VerdictText {
  readonly status: string;
  /** The disposition in x-weft: composed, degraded or passed; "" without the header. */
  readonly mark: string;
  readonly reason: string;
}

function verdictOf(profile: Requested): VerdictText {
  if (profile.kind === "loading") {
    return { status: "…", mark: "", reason: "" };
  }
  if (profile.answer === null) {
    return { status: "no response", mark: "", reason: "" };
  }
  const [mark = "", ...details] = header(profile.answer, "x-weft").split("; ");
  return { status: profile.answer.status.toString(), mark, reason: details.join("; ") };
}
