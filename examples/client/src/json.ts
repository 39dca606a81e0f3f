/** A JSON value. An unsafe integer is a bigint. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [name: string]: Json };

/** Parses JSON; undefined if it is invalid. Keeps large integers if the browser supports context.source. */
export function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text, reviveInteger) as Json;
  } catch {
    return undefined;
  }
}

function reviveInteger(_name: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  const isLost = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isLost && source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/** Whether a value is an object, not an array or null. */
export function isObject(value: Json | undefined): value is Readonly<Record<string, Json>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Formats a value: a string without quotes, everything else as JSON. */
export function showJson(value: Json): string {
  return typeof value === "string" ? value : writeJson(value);
}

function writeJson(value: Json): string {
  if (Array.isArray(value)) {
    return `[${value.map(writeJson).join(", ")}]`;
  }
  if (isObject(value)) {
    const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}: ${writeJson(member)}`);
    return `{${members.join(", ")}}`;
  }
  return typeof value === "bigint" ? value.toString() : JSON.stringify(value);
}
