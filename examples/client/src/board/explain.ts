import { header } from "../answer";
import { isPlain, wentPast } from "../profile/passed";
import type { Asked } from "../profile/store";
import type { Processes } from "./control";
import { healthy, type LegacyFault, legacyFaults, processFaults } from "./faults";
import { type Reason, reasons } from "./reasons";

/**
 * Says what came, and why. The answer decides, and not the buttons that are pressed: a user can be odd without any, and
 * the legacy service refuses some ids before it fails as it was asked to. A button only tells more of a reason that is there.
 */
export function explain(profile: Asked, processes: Processes): string {
  if (profile.kind === "loading") {
    return "Waiting for the answer.";
  }
  const { answer, request } = profile;
  if (answer === null) {
    return isPlain(request.userId) ? "No whole answer came." : `No whole answer came. ${wentPast}`;
  }
  const pressed = legacyFaults.find(({ fault }) => fault === request.fault) ?? healthy;
  const [disposition = "", reason = ""] = header(answer, "x-weft").split("; reason=");
  switch (disposition) {
    case "composed":
      return `${pressed.what} ${pressed.joined ?? healthy.joined}`;
    case "degraded":
    case "passed": {
      const causes = reason.split("+").map((name) => causeOf(name, pressed, processes));
      const hasCore = profile.kind === "partial" && profile.core !== null;
      const said = hasCore && pressed.joined !== undefined && pressed !== healthy ? [pressed.what] : []; // it does no harm
      return [...said, ...causes.map(({ what }) => what), outcomeOf(answer.status, causes)].join(" ");
    }
    default:
      return isPlain(request.userId) ? "Nobody says that weft had a part in this answer." : wentPast;
  }
}

/** What a reason means; in the words of what was broken on purpose, where it comes of that. */
function causeOf(name: string, pressed: LegacyFault, processes: Processes): Reason {
  const broken = processFaults.flatMap(({ process, faults }) =>
    faults.filter(({ state }) => state === processes[process]),
  );
  const fault = [pressed, ...broken].find((each) => each.reasons.includes(name));
  const reason = reasons[name] ?? { what: `The reason is ${name}.`, outcome: "" };
  return fault === undefined ? reason : { ...reason, what: fault.what };
}

function outcomeOf(status: number, causes: readonly Reason[]): string {
  const [first] = causes;
  if (causes.length > 1 || first === undefined) {
    return "Neither half is left.";
  }
  return status === 503 ? (first.alone ?? "Neither half is left.") : first.outcome;
}
