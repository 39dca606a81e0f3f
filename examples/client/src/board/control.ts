import { type Answer, fetchAnswer } from "../answer";
import { isObject, type Json, parseJson } from "../json";

/** States of the demo's processes, by name: running, frozen or stopped; failing for legacy; on or off for caches. */
export type Processes = Readonly<Record<string, string>>;

/** The legacy service's own response. */
export interface LegacyAnswer extends Answer {
  /** Why the response is incomplete; "" if it is complete. */
  readonly error: string;
}

/** Fetches the states of the demo's processes; undefined without a demo. */
export async function fetchProcesses(signal: AbortSignal): Promise<Processes | undefined> {
  return readProcesses(await fetchAnswer("/demo/processes", signal));
}

/** Changes the state of a process. Rejects with the demo's error. */
export async function changeProcess(name: string, verb: string): Promise<Processes> {
  const response = await fetch(`/demo/processes/${name}/${verb}`, { method: "POST" }).catch(throwUnreachable);
  const text = await response.text();
  const processes = response.ok ? toProcesses(parseJson(text)) : undefined;
  if (processes === undefined) {
    throw new Error(`The demo responded ${response.status}: ${text}`);
  }
  return processes;
}

/** Adds 1 to the score of a user's document. Rejects with the demo's error. */
export async function addToScore(userId: string): Promise<void> {
  const path = `/demo/documents/${encodeURIComponent(userId)}`;
  const response = await fetch(path, { method: "POST" }).catch(throwUnreachable);
  if (!response.ok) {
    throw new Error(`The demo responded ${response.status}: ${await response.text()}`);
  }
}

/** Fetches the legacy service's own response by way of the demo. */
export async function fetchLegacy(userId: string, fault: string, signal: AbortSignal): Promise<LegacyAnswer> {
  const path = `/demo/legacy/${encodeURIComponent(userId)}?fault=${encodeURIComponent(fault)}`;
  const answer = toLegacyAnswer(parseJson((await fetchAnswer(path, signal).catch(throwUnreachable)).body));
  if (answer === undefined) {
    throw new Error("The demo does not return the legacy response.");
  }
  return answer;
}

/** Replaces the browser's error, which does not say what to do. */
function throwUnreachable(): never {
  throw new Error("The demo does not respond. Is “make demo” still running?");
}

function readProcesses(answer: Answer): Processes | undefined {
  return answer.status === 200 ? toProcesses(parseJson(answer.body)) : undefined;
}

function toProcesses(value: Json | undefined): Processes | undefined {
  if (!isObject(value)) {
    return undefined;
  }
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, state]) => (typeof state === "string" ? [[name, state]] : [])),
  );
}

function toLegacyAnswer(value: Json | undefined): LegacyAnswer | undefined {
  if (!isObject(value)) {
    return undefined;
  }
  const { status, headers, body, bytes, error } = value;
  const isAnswer =
    typeof status === "number" &&
    Array.isArray(headers) &&
    headers.every(isPair) &&
    typeof body === "string" &&
    typeof bytes === "number" &&
    typeof error === "string";
  return isAnswer ? { status, headers, body, bytes, error } : undefined;
}

function isPair(value: Json): value is readonly [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((item) => typeof item === "string");
}
