import { type Answer, ask } from "../answer";
import { isObject, type Json, parseJson } from "../json";

/** States of the processes that "make demo" lets a page end: running, frozen or stopped, by name. */
export type Processes = Readonly<Record<string, string>>;

/** What the legacy service itself sent, as the demo saw it. */
export interface LegacyAnswer extends Answer {
  /** How it broke off; "" if it did not. */
  readonly error: string;
}

/** Asks the demo for its processes; undefined where there is no demo, but a real service. */
export async function fetchProcesses(signal: AbortSignal): Promise<Processes | undefined> {
  return readProcesses(await ask("/demo/processes", signal));
}

/** Changes a process, and returns when it is done. Rejects with the demo's own words. */
export async function changeProcess(name: string, verb: string): Promise<Processes> {
  const response = await fetch(`/demo/processes/${name}/${verb}`, { method: "POST" }).catch(isGone);
  const text = await response.text();
  const processes = response.ok ? toProcesses(parseJson(text)) : undefined;
  if (processes === undefined) {
    throw new Error(`The demo answered ${response.status}: ${text}`);
  }
  return processes;
}

/** Asks the demo what the legacy service answers by itself. Rejects when the demo does not say. */
export async function fetchLegacy(userId: string, fault: string, signal: AbortSignal): Promise<LegacyAnswer> {
  const path = `/demo/legacy/${encodeURIComponent(userId)}?fault=${encodeURIComponent(fault)}`;
  const answer = toLegacyAnswer(parseJson((await ask(path, signal).catch(isGone)).body));
  if (answer === undefined) {
    throw new Error("The demo does not say what the legacy service answers.");
  }
  return answer;
}

/** In place of the browser's own words, which do not say what to do. */
function isGone(): never {
  throw new Error("The demo does not answer. Does “make demo” still run?");
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
