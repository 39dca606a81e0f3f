/** What a reason in x-weft means to who looks at the page. */
export interface Reason {
  /** What is wrong. */
  readonly what: string;
  /** What comes of it. */
  readonly outcome: string;
  /** What comes of it where Envoy has no half to answer with, though only one reason is given. */
  readonly alone?: string;
}

const mongodbIsLeft = "MongoDB’s half is left, and the answer says which one is missing.";
const legacyIsLeft = "The legacy half is left, and the answer says which one is missing.";
const untouched = "The answer passes untouched, and is marked.";

/** The reasons of the composite route; docs/failures.md has all of them. */
export const reasons: Readonly<Record<string, Reason>> = {
  "core-not-found": {
    what: "The legacy service knows no such user.",
    outcome: "This route answers with MongoDB’s half alone.",
  },
  "core-invalid": {
    what: "What the legacy service sends is no whole user.",
    outcome: "Half a user is never joined: it counts as missing.",
  },
  "core-empty": { what: "The legacy service sends an empty body.", outcome: mongodbIsLeft },
  "legacy-error": { what: "The legacy service fails.", outcome: mongodbIsLeft },
  "legacy-unreachable": {
    what: "The legacy service does not answer, or not to the end.",
    outcome: mongodbIsLeft,
    alone: "Envoy drops what it has, and answers 503 by itself.",
  },
  "extension-invalid": { what: "MongoDB’s document has a field of a wrong type.", outcome: legacyIsLeft },
  "extension-timeout": {
    what: "MongoDB does not answer in time.",
    outcome: "weft waits for it for as long as Envoy’s message_timeout allows, then answers without it.",
  },
  "extension-failed": { what: "MongoDB cannot be read.", outcome: legacyIsLeft },
  overloaded: { what: "More reads of MongoDB wait than may.", outcome: legacyIsLeft },
  "key-mismatch": {
    what: "The legacy service answers with another user than was asked for.",
    outcome: "Two users are never mixed: MongoDB’s half is left out.",
  },
  "answer-too-large": { what: "Both halves together are more than Envoy takes.", outcome: legacyIsLeft },
  "weft-unavailable": {
    what: "weft does not answer Envoy, or not in time.",
    outcome: "Envoy goes on without it, and keeps the shape of the answer.",
    alone: "Envoy goes on without it, and finds no user in what the legacy service answers: neither half is left.",
  },
  refused: {
    what: "The legacy service refuses.",
    outcome: "Who may not read the user gets nothing of MongoDB either: the refusal passes as it is.",
  },
  redirect: { what: "The legacy service sends the client elsewhere.", outcome: untouched },
  "core-too-large": { what: "The legacy service sends more than the rule lets weft hold.", outcome: untouched },
  "content-encoding": { what: "The legacy service compresses in a way that weft cannot unpack.", outcome: untouched },
};
