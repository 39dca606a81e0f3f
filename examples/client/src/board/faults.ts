/** What a button brings about. */
interface Fault {
  readonly label: string;
  /** What is wrong then. */
  readonly what: string;
  /** What the client gets, when nothing else is wrong. */
  readonly outcome: string;
}

/** A way in which the demo's legacy service misbehaves when it is asked to. */
export interface LegacyFault extends Fault {
  /** Value of the query parameter fault; "" for none. */
  readonly fault: string;
}

const healthy: LegacyFault = {
  fault: "",
  label: "Healthy",
  what: "Both systems answer.",
  outcome: "Their answers are joined; the legacy object is in there byte for byte.",
};

export const legacyFaults: readonly LegacyFault[] = [
  healthy,
  {
    fault: "delay:800ms",
    label: "Slow",
    what: "The legacy service takes 0.8 s.",
    outcome: "MongoDB is read meanwhile: its time is not added.",
  },
  {
    fault: "404",
    label: "404",
    what: "The legacy service knows no such user.",
    outcome: "This route answers with MongoDB’s half alone.",
  },
  {
    fault: "401",
    label: "401",
    what: "The legacy service refuses.",
    outcome: "Who may not read the user gets nothing of MongoDB either: the refusal passes as it is.",
  },
  {
    fault: "500",
    label: "500",
    what: "The legacy service fails.",
    outcome: "MongoDB’s half is left, and the answer says which one is missing.",
  },
  {
    fault: "reset",
    label: "Reset",
    what: "The legacy service resets the connection in place of an answer.",
    outcome: "MongoDB’s half is left, and the answer says which one is missing.",
  },
  {
    fault: "reset-body",
    label: "Breaks off",
    what: "The legacy service resets the connection in the middle of its body.",
    outcome: "Envoy drops what it has, and answers 503.",
  },
  {
    fault: "truncated",
    label: "Truncated",
    what: "The legacy service sends half of the JSON, in an HTTP answer that is complete.",
    outcome: "Half a user is never joined: it counts as missing.",
  },
  {
    fault: "gzip",
    label: "gzip",
    what: "The legacy service compresses, although nobody asked it to.",
    outcome: "weft unpacks the answer, within a limit, and joins it.",
  },
  {
    fault: "5mb",
    label: "5 MB",
    what: "The legacy service sends more than the rule lets weft hold.",
    outcome: "The answer passes untouched, and is marked.",
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
        outcome: "weft waits for it for as long as Envoy’s message_timeout allows, then answers without it.",
      },
      {
        verb: "freeze",
        state: "frozen",
        label: "Frozen",
        what: "MongoDB is there, and says nothing.",
        outcome: "weft waits for it for as long as Envoy’s message_timeout allows, then answers without it.",
      },
    ],
  },
  {
    process: "weft",
    label: "weft",
    faults: [
      {
        verb: "kill",
        state: "stopped",
        label: "Killed",
        what: "weft is dead.",
        outcome: "Envoy goes on without it, and keeps the shape of the answer.",
      },
    ],
  },
];

/** Says what is wrong; and what comes of it, unless several things are wrong at once: then the answer speaks for itself. */
export function explain(fault: string, processes: Readonly<Record<string, string>>): string {
  const wrong: Fault[] = legacyFaults.filter((each) => each.fault === fault && each !== healthy);
  for (const { process, faults } of processFaults) {
    wrong.push(...faults.filter(({ state }) => processes[process] === state));
  }
  const [first = healthy, ...more] = wrong;
  return more.length === 0 ? `${first.what} ${first.outcome}` : wrong.map(({ what }) => what).join(" ");
}
