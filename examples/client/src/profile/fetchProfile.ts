import { type Answer, fetchAnswer, header } from "../answer";
import { type Core, type Extension, parseComposite, parseCore, parseDetail } from "../contract";
import { isCanonical, passedNote } from "./passed";

/** A request. Each request is a new object. */
export interface ProfileRequest {
  readonly userId: string;
  /** The fault of the demo's legacy service; "" for none. */
  readonly fault: string;
}

/** The result of a request. */
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

/** Fetches a profile. Errors are outcomes too, including an aborted signal. */
export async function fetchProfile(request: ProfileRequest, signal: AbortSignal): Promise<Outcome> {
  try {
    return read(await fetchAnswer(pathOf(request), signal), request);
  } catch {
    return { kind: "failed", answer: null, detail: "No complete response. Is the service reachable?" };
  }
}

/** The path of a profile, or of the members in fields, on the same origin. */
export function pathOf({ userId, fault }: ProfileRequest, fields?: string): string {
  const query = [
    ...(fault === "" ? [] : [`fault=${encodeQuery(fault)}`]),
    ...(fields === undefined ? [] : [`fields=${encodeQuery(fields)}`]),
  ].join("&");
  return `/api/v3/composite-profile/${encodeURIComponent(userId)}${query && "?"}${query}`;
}

function encodeQuery(value: string): string {
  return encodeURIComponent(value).replaceAll("%3A", ":").replaceAll("%2C", ",");
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
    const errors = [`The response was not composed. ${whyPassed(answer, request)}`.trim()];
    return { kind: "partial", answer, core, extension: null, errors };
  }
  return { kind: "failed", answer, detail: "The response has an unknown shape." };
}

/** Why the legacy response passed: x-weft has the reason, or the ID matches no rule. */
function whyPassed(answer: Answer, { userId }: ProfileRequest): string {
  const mark = header(answer, "x-weft");
  if (mark !== "") {
    return `x-weft: ${mark}`;
  }
  return isCanonical(userId) ? "" : passedNote;
}

/** What a response says that is not a 200. */
export function detailOf(answer: Answer): string {
  const said = parseDetail(answer.body);
  if (answer.status === 503 && said !== undefined) {
    return said;
  }
  return `The service responded ${answer.status}${said === undefined ? "" : `, ${said}`}.`;
}
