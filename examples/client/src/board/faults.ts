/** A fault that a button causes. */
export interface Fault {
  readonly label: string;
  /** The explanation. */
  readonly what: string;
  /** The reasons in x-weft that the fault causes. */
  readonly reasons: readonly string[];
}

/** A fault of the demo's legacy service. */
export interface LegacyFault extends Fault {
  /** Value of the query parameter fault; "" for none. */
  readonly fault: string;
  /** The explanation of a composed response, for a fault that does not prevent it. */
  readonly joined?: string;
}

export const healthy = {
  fault: "",
  label: "Healthy",
  what: "Both systems respond.",
  reasons: [],
  joined: "The response contains the legacy object byte for byte.",
} as const satisfies LegacyFault;

export const legacyFaults: readonly LegacyFault[] = [
  healthy,
  {
    fault: "delay:800ms",
    label: "Slow",
    what: "The legacy service takes 0.8 s.",
    reasons: [],
    joined: "MongoDB is read concurrently.",
  },
  { fault: "404", label: "404", what: "The legacy service has no such user.", reasons: ["core-not-found"] },
  { fault: "401", label: "401", what: "The legacy service rejects the request.", reasons: ["client-error"] },
  { fault: "500", label: "500", what: "The legacy service fails.", reasons: ["legacy-error"] },
  {
    fault: "reset",
    label: "Reset",
    what: "The legacy service resets the connection instead of responding.",
    reasons: ["legacy-unreachable"],
  },
  {
    fault: "reset-body",
    label: "Reset body",
    what: "The legacy service resets the connection in the middle of the body.",
    reasons: ["legacy-unreachable"],
  },
  {
    fault: "truncated",
    label: "Truncated",
    what: "The legacy service sends half of the JSON in a complete HTTP response.",
    reasons: ["core-invalid"],
  },
  {
    fault: "gzip",
    label: "gzip",
    what: "The legacy service compresses the response without being asked.",
    reasons: [],
    joined: "weft decompresses it, up to a limit, and composes the response.",
  },
  {
    fault: "5mb",
    label: "5 MB",
    what: "The body exceeds the rule’s core.limit.",
    reasons: ["core-too-large"],
  },
];

/** A fault of a process. */
export interface ProcessFault extends Fault {
  readonly verb: string;
  /** The state of the process after verb. */
  readonly state: string;
}

/** The processes with buttons, by their names in the control endpoint. */
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
        what: "MongoDB is frozen.",
        reasons: ["extension-timeout", "extension-failed"],
      },
    ],
  },
  {
    process: "weft",
    label: "weft",
    faults: [{ verb: "kill", state: "stopped", label: "Killed", what: "weft is down.", reasons: ["weft-unavailable"] }],
  },
];
