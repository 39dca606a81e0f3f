/** A way in which the demo's legacy service misbehaves when it is asked to. */
export interface LegacyFault {
  /** Value of the query parameter fault. */
  readonly fault: string;
  readonly label: string;
  readonly what: string;
}

export const legacyFaults: readonly LegacyFault[] = [
  { fault: "", label: "Healthy", what: "Both answer, and are joined. The legacy object is in there byte for byte." },
  {
    fault: "delay:800ms",
    label: "Slow",
    what: "The legacy service takes 0.8 s. MongoDB is read meanwhile, so its time is not added.",
  },
  {
    fault: "404",
    label: "404",
    what: "The legacy service knows no such user. On this route there is the extension alone.",
  },
  {
    fault: "401",
    label: "401",
    what: "The legacy service refuses. Who may not read the user does not get the extension either: the answer passes as it is.",
  },
  {
    fault: "500",
    label: "500",
    what: "The legacy service fails, twice: Envoy has tried again. The extension is left.",
  },
  { fault: "reset", label: "Reset", what: "The legacy service resets the connection in place of an answer." },
  {
    fault: "reset-body",
    label: "Breaks off",
    what: "The legacy service resets the connection inside its body. Envoy can say no more than that nothing is to be had.",
  },
  { fault: "truncated", label: "Truncated", what: "A complete HTTP answer with half of the JSON. It is never joined." },
  {
    fault: "gzip",
    label: "gzip",
    what: "Compressed, although nobody asked for it. weft unpacks it, within a cap, and joins it.",
  },
  {
    fault: "5mb",
    label: "5 MB",
    what: "More than the rule lets weft hold. The answer passes untouched, and is marked.",
  },
];

/** A way in which a process of the demo fails. */
export interface ProcessFault {
  readonly process: "mongod" | "weft";
  readonly verb: "stop" | "freeze" | "kill";
  /** The state that the process has then. */
  readonly state: "stopped" | "frozen";
  readonly label: string;
  readonly what: string;
}

export const processFaults: readonly ProcessFault[] = [
  {
    process: "mongod",
    verb: "stop",
    state: "stopped",
    label: "MongoDB stopped",
    what: "Connections are refused. The core arrives all the same, and at once.",
  },
  {
    process: "mongod",
    verb: "freeze",
    state: "frozen",
    label: "MongoDB frozen",
    what: "MongoDB is there, and says nothing. weft waits for as long as Envoy's message_timeout leaves it, and then answers without.",
  },
  {
    process: "weft",
    verb: "kill",
    state: "stopped",
    label: "weft killed",
    what: "Envoy goes on alone, and its own filter keeps the shape.",
  },
];
