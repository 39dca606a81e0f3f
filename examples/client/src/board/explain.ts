import { header } from "../answer";
import { isCanonical, passedNote } from "../profile/passed";
import { showAge, type Stale, staleOf } from "../profile/stale";
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
  const [disposition = "", detail = ""] = header(answer, "x-weft").split("; reason=");
  const [reason = ""] = detail.split("; ");
  switch (disposition) {
    case "composed":
      return `${pressed.what} ${pressed.joined ?? healthy.joined}`;
    case "degraded":
    case "passed": {
      const names = reason.split("+");
      const causes = names.map((name) => causeOf(name, pressed, processes));
      const stale = staleOf(answer);
      const unsolved = causes.filter((_, i) => !isReplaced(names[i] ?? "", stale));
      const hasCore = (profile.kind === "partial" || profile.kind === "composite") && profile.core !== null;
      const said = hasCore && !stale.core && pressed.joined !== undefined && pressed !== healthy ? [pressed.what] : []; // a fault without effect
      const whats = causes.map(({ what }) => what);
      const outcome = unsolved.length === 0 ? [] : [outcomeOf(answer.status, unsolved)];
      return [...said, ...whats, ...replacements(stale), ...outcome].join(" ");
    }
    default:
      return isCanonical(request.userId) ? "The response has no x-weft header." : passedNote;
  }
}

/** Whether an older core or extension replaces what a reason is about. */
function isReplaced(name: string, stale: Stale): boolean {
  return name.startsWith("legacy-") ? stale.core : /^extension-|^overloaded$/.test(name) && stale.extension;
}

function replacements(stale: Stale): readonly string[] {
  const core = stale.age === undefined ? "An older core" : `A core from ${showAge(stale.age)} ago`;
  return [
    ...(stale.core ? [`${core} replaces the new one.`] : []),
    ...(stale.extension ? ["An older extension replaces the new one."] : []),
  ];
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
