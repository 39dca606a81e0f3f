import { type Answer, header } from "../answer";

/** Which parts of a response are older ones, because a system failed. */
export interface Stale {
  readonly core: boolean;
  readonly extension: boolean;
  /** The age of the core, in seconds; undefined without an age header. */
  readonly age: number | undefined;
}

/** Reads x-weft and age. */
export function staleOf(answer: Answer): Stale {
  const details = header(answer, "x-weft").split("; ");
  const age = header(answer, "age");
  return {
    core: details.includes("core=stale"),
    extension: details.includes("extension=stale"),
    age: /^\d+$/.test(age) ? Number(age) : undefined,
  };
}

/** Formats an age in seconds. */
export function showAge(seconds: number): string {
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
}
