import { header } from "../answer";
import { isCanonical, passedNote } from "../profile/passed";
import type { Requested } from "../profile/store";
import type { Processes } from "./control";
import { healthy, type LegacyFault, legacyFaults, processFaults } from "./faults";
import { type Reason, reasons } from "./reasons";

/**
 * Explains the response. It depends on x-weft, not on the buttons: a response may have a reason without a fault, and the
 * legacy service rejects some IDs before it applies a fault. A button only makes the explanation of a reason more specific.
 */
export function explain(profile: Requested, processes: Processes): string {
  if (profile.kind === "loading") {
    return "Waiting for the response.";
  }
  const { answer, request } = profile;
  if (answer === null) {
    return isCanonical(request.userId) ? "No complete response." : `No complete response. ${passedNote}`;
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
      const said = hasCore && pressed.joined !== undefined && pressed !== healthy ? [pressed.what] : []; // a fault without effect
      return [...said, ...causes.map(({ what }) => what), outcomeOf(answer.status, causes)].join(" ");
    }
    default:
      return isCanonical(request.userId) ? "The response has no x-weft header." : passedNote;
  }
}

/** The explanation of a reason; that of the fault, if the fault is its cause. */
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
    return "Neither core nor extension is available.";
  }
  return status === 503 ? (first.alone ?? "Neither core nor extension is available.") : first.outcome;
}
