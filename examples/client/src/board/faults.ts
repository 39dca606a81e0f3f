/** What a button brings about. */
export interface Fault {
  readonly label: string;
  /** What is wrong then. */
  readonly what: string;
  /** What x-weft gives as the reason when it comes of this. */
  readonly reasons: readonly string[];
}

/** A way in which the demo's legacy service misbehaves when it is asked to. */
export interface LegacyFault extends Fault {
  /** Value of the query parameter fault; "" for none. */
  readonly fault: string;
  /** What comes of it, where it keeps the answers from nothing. */
  readonly joined?: string;
}

export const healthy = {
  fault: "",
  label: "Healthy",
  what: "Both systems answer.",
  reasons: [],
  joined: "Their answers are joined; the legacy object is in there byte for byte.",
} as const satisfies LegacyFault;

export const legacyFaults: readonly LegacyFault[] = [
  healthy,
  {
    fault: "delay:800ms",
    label: "Slow",
    what: "The legacy service takes 0.8 s.",
    reasons: [],
    joined: "MongoDB is read meanwhile.",
  },
  { fault: "404", label: "404", what: "The legacy service knows no such user.", reasons: ["core-not-found"] },
  { fault: "401", label: "401", what: "The legacy service refuses.", reasons: ["refused"] },
  { fault: "500", label: "500", what: "The legacy service fails.", reasons: ["legacy-error"] },
  {
    fault: "reset",
    label: "Reset",
    what: "The legacy service resets the connection in place of an answer.",
    reasons: ["legacy-unreachable"],
  },
  {
    fault: "reset-body",
    label: "Breaks off",
    what: "The legacy service resets the connection in the middle of its body.",
    reasons: ["legacy-unreachable"],
  },
  {
    fault: "truncated",
    label: "Truncated",
    what: "The legacy service sends half of the JSON, in an HTTP answer that is complete.",
    reasons: ["core-invalid"],
  },
  {
    fault: "gzip",
    label: "gzip",
    what: "The legacy service compresses, although nobody asked it to.",
    reasons: [],
    joined: "weft unpacks the answer, within a limit, and joins it.",
  },
  {
    fault: "5mb",
    label: "5 MB",
    what: "The legacy service sends more than the rule lets weft hold.",
    reasons: ["core-too-large"],
  },
];

/** A way in which a process of the demo fails. */
export interface ProcessFault extends Fault {
  readonly verb: string;
  /** The state that the process has then. */
  readonly state: string;
}

/** The processes that have buttons, by their names in the control endpoint. */
export const processFaults: readonly {
  readonly process: string;
  readonly label: string;
  readonly faults: readonly ProcessFault[];
}[] = [
  {
    process: "mongod",
    label: "MongoDB",
    faults: [
      {
        verb: "stop",
        state: "stopped",
        label: "Stopped",
        what: "MongoDB is stopped.",
        reasons: ["extension-timeout", "extension-failed"],
      },
      {
        verb: "freeze",
        state: "frozen",
        label: "Frozen",
        what: "MongoDB is there, and says nothing.",
        reasons: ["extension-timeout", "extension-failed"],
      },
    ],
  },
  {
    process: "weft",
    label: "weft",
    faults: [{ verb: "kill", state: "stopped", label: "Killed", what: "weft is dead.", reasons: ["weft-unavailable"] }],
  },
];
