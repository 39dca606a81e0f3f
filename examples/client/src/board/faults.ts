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

/** A state of a process, and the verb of the control endpoint that leads to it. */
export interface Choice {
  readonly verb: string;
  readonly state: string;
  readonly label: string;
}

/** A fault of a process. */
export interface ProcessFault extends Fault, Choice {}

/** A process with buttons, by its name in the control endpoint. */
export interface ProcessChoices {
  readonly process: string;
  readonly label: string;
  /** The states that are not a fault. */
  readonly well: readonly Choice[];
  readonly faults: readonly ProcessFault[];
}

const runs: readonly Choice[] = [{ verb: "run", state: "running", label: "Running" }];

export const processFaults: readonly ProcessChoices[] = [
  {
    process: "mongod",
    label: "MongoDB",
    well: runs,
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
    well: runs,
    faults: [{ verb: "kill", state: "stopped", label: "Killed", what: "weft is down.", reasons: ["weft-unavailable"] }],
  },
  {
    process: "legacy",
    label: "Legacy service, all requests",
    well: runs,
    faults: [
      { verb: "fail", state: "failing", label: "Down", what: "The legacy service is down.", reasons: ["legacy-error"] },
    ],
  },
  {
    process: "caches",
    label: "Last known good",
    well: [
      { verb: "off", state: "off", label: "Off" },
      { verb: "on", state: "on", label: "On" },
    ],
    faults: [],
  },
];
