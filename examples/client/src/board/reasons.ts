/** The explanation of a reason in x-weft. */
export interface Reason {
  /** The cause. */
  readonly what: string;
  /** The effect on the response. */
  readonly outcome: string;
  /** The effect if the response is a 503 although there is only one reason. */
  readonly alone?: string;
}

const mongodbIsLeft = "The response has the extension, and core is null.";
const legacyIsLeft = "The response has the core, and extension is null.";
const untouched = "The response passes unchanged, with x-weft.";

/** Reasons on the composite route; docs/failures.md has all reasons. */
export const reasons: Readonly<Record<string, Reason>> = {
  "core-not-found": {
    what: "The legacy service has no such user.",
    outcome: "On this route, the response has the extension and core is null.",
  },
  "core-invalid": {
    what: "The legacy body is not a valid user.",
    outcome: "An invalid core counts as missing.",
  },
  "core-empty": { what: "The legacy body is empty.", outcome: mongodbIsLeft },
  "legacy-error": { what: "The legacy service fails.", outcome: mongodbIsLeft },
  "legacy-unreachable": {
    what: "The legacy service does not respond completely.",
    outcome: mongodbIsLeft,
    alone: "Envoy discards the response and sends a 503 of its own.",
  },
  "extension-invalid": { what: "The MongoDB document has a field of another type.", outcome: legacyIsLeft },
  "extension-timeout": {
    what: "MongoDB times out.",
    outcome: "weft waits within Envoy’s message_timeout, then responds without the extension.",
  },
  "extension-failed": { what: "MongoDB cannot be read.", outcome: legacyIsLeft },
  overloaded: { what: "Too many reads are waiting for MongoDB.", outcome: legacyIsLeft },
  "key-mismatch": {
    what: "The legacy service responds with another user.",
    outcome: "weft does not mix two users: extension is null.",
  },
  "answer-too-large": { what: "The composed response exceeds Envoy’s buffer.", outcome: legacyIsLeft },
  "weft-unavailable": {
    what: "weft does not respond to Envoy in time.",
    outcome: "Envoy continues without it and keeps the shape of the response.",
    alone:
      "Envoy continues without it, and the legacy body is not a valid user: neither core nor extension is available.",
  },
  "client-error": {
    what: "The legacy service rejects the request.",
    outcome: "A client that may not read the user gets no MongoDB data: the response passes unchanged.",
  },
  redirect: { what: "The legacy service redirects the client.", outcome: untouched },
  "core-too-large": { what: "The body exceeds the rule’s core.limit.", outcome: untouched },
  "content-encoding": {
    what: "The legacy service uses a content-encoding that weft does not support.",
    outcome: untouched,
  },
};
