import { type Answer, ask, header } from "../answer";
import { type Core, type Extension, parseComposite, parseCore, parseDetail } from "../contract";
import { isPlain, wentPast } from "./passed";

/** What was asked for. Each asking is an object of its own. */
export interface ProfileRequest {
  readonly userId: string;
  /** For the demo's legacy service: how to misbehave. "" for not at all. */
  readonly fault: string;
}

/** What came of it. */
export type Outcome =
  | { readonly kind: "composite"; readonly answer: Answer; readonly core: Core; readonly extension: Extension }
  | {
      readonly kind: "partial";
      readonly answer: Answer;
      readonly core: Core | null;
      readonly extension: Extension | null;
      readonly errors: readonly string[];
    }
  | { readonly kind: "failed"; readonly answer: Answer | null; readonly detail: string };

/** Asks for a profile. What goes wrong is an outcome, too, even that the signal aborts. */
export async function fetchProfile(request: ProfileRequest, signal: AbortSignal): Promise<Outcome> {
  try {
    return read(await ask(pathOf(request), signal), request);
  } catch {
    return { kind: "failed", answer: null, detail: "No whole answer came. Is the service reachable?" };
  }
}

/** Where the profile is, on the same origin. */
export function pathOf({ userId, fault }: ProfileRequest): string {
  const query = fault === "" ? "" : `?fault=${encodeURIComponent(fault).replace("%3A", ":")}`;
  return `/api/v3/composite-profile/${encodeURIComponent(userId)}${query}`;
}

function read(answer: Answer, request: ProfileRequest): Outcome {
  if (answer.status !== 200) {
    return { kind: "failed", answer, detail: detailOf(answer) };
  }
  const composite = parseComposite(answer.body);
  if (composite !== undefined) {
    const { core, extension, errors } = composite;
    return core !== null && extension !== null && errors.length === 0
      ? { kind: "composite", answer, core, extension }
      : { kind: "partial", answer, core, extension, errors };
  }
  const core = parseCore(answer.body);
  if (core !== undefined) {
    const errors = [`The answer was not joined. ${whyPassed(answer, request)}`.trim()];
    return { kind: "partial", answer, core, extension: null, errors };
  }
  return { kind: "failed", answer, detail: "The answer is none that this page understands." };
}

/** Why the legacy service's answer came as it is: it is too large to be joined, which is marked, or the id is an odd one. */
function whyPassed(answer: Answer, { userId }: ProfileRequest): string {
  const mark = header(answer, "x-weft");
  if (mark !== "") {
    return `x-weft: ${mark}`;
  }
  return isPlain(userId) ? "" : wentPast;
}

function detailOf(answer: Answer): string {
  const said = parseDetail(answer.body);
  if (answer.status === 503 && said !== undefined) {
    return said;
  }
  return `The service answered ${answer.status}${said === undefined ? "" : `, ${said}`}.`;
}
