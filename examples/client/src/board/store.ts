import { create } from "zustand";
import { type Answer, fetchAnswer } from "../answer";
import { pathOf, type ProfileRequest } from "../profile/fetchProfile";
import { useProfile } from "../profile/store";
import { addToScore, changeProcess, fetchLegacy, fetchProcesses, type LegacyAnswer, type Processes } from "./control";

/** A second response to the client's request. */
type Loaded<A> =
  | { readonly kind: "none" }
  | { readonly kind: "loading"; readonly request: ProfileRequest }
  | { readonly kind: "answered"; readonly request: ProfileRequest; readonly answer: A }
  | { readonly kind: "failed"; readonly request: ProfileRequest; readonly detail: string };

/** The legacy service's own response. */
export type Legacy = Loaded<LegacyAnswer>;

/** The response with the selected members only. */
export type Selected = Loaded<Answer>;

interface BoardStore {
  /** undefined without a demo, or before its first response. */
  readonly processes: Processes | undefined;
  /** The change in progress, for display; "" if there is none. It may take seconds. */
  readonly changing: string;
  /** The error of the last change; "" if there was none. */
  readonly trouble: string;
  readonly legacy: Legacy;
  readonly selected: Selected;
  /** Detects the demo and shows its first user. Returns a function that aborts. */
  readonly detectDemo: () => () => void;
  /** Reloads the states of the processes, which another page may have changed. Returns a function that aborts. */
  readonly refresh: () => () => void;
  /** Changes the state of a process. The label is for display. */
  readonly change: (name: string, verb: string, label: string) => Promise<void>;
  /** Changes the document of a user in MongoDB. */
  readonly write: (userId: string) => Promise<void>;
  /** Loads the legacy service's own response. Returns a function that aborts. */
  readonly loadLegacy: (request: ProfileRequest) => () => void;
  /** Loads the members in fields. Returns a function that aborts. */
  readonly loadSelected: (request: ProfileRequest, fields: string) => () => void;
}

export const useBoard = create<BoardStore>()((set, get) => ({
  processes: undefined,
  changing: "",
  trouble: "",
  legacy: { kind: "none" },
  selected: { kind: "none" },

  detectDemo: () =>
    abortable(async (signal) => {
      const processes = await fetchProcesses(signal).catch(() => undefined);
      if (signal.aborted) {
        return;
      }
      set({ processes });
      // The demo has a user 7; other services may not.
      const { profile, show } = useProfile.getState();
      if (processes !== undefined && profile.kind === "empty") {
        await show({ userId: "7", fault: "" });
      }
    }),

  refresh: () =>
    abortable(async (signal) => {
      const processes = await fetchProcesses(signal).catch(() => undefined);
      // The response of a change in progress will be newer.
      if (!signal.aborted && processes !== undefined && get().changing === "") {
        set({ processes });
      }
    }),

  change: async (name, verb, label) => {
    set({ changing: `${verb} ${label}`, trouble: "" });
    try {
      set({ processes: await changeProcess(name, verb), changing: "" });
    } catch (error) {
      set({ trouble: messageOf(error), changing: "" });
    }
  },

  write: async (userId) => {
    set({ changing: "write to MongoDB", trouble: "" });
    try {
      await addToScore(userId);
      set({ changing: "" });
    } catch (error) {
      set({ trouble: messageOf(error), changing: "" });
    }
  },

  loadLegacy: (request) =>
    abortable(async (signal) => {
      set({ legacy: { kind: "loading", request } });
      const legacy = await load(request, fetchLegacy(request.userId, request.fault, signal));
      if (!signal.aborted) {
        set({ legacy });
      }
    }),

  loadSelected: (request, fields) =>
    abortable(async (signal) => {
      set({ selected: { kind: "loading", request } });
      const selected = await load(request, fetchAnswer(pathOf(request, fields), signal));
      if (!signal.aborted) {
        set({ selected });
      }
    }),
}));

/** Waits for a response. An error is a state, too. */
async function load<A>(request: ProfileRequest, answer: Promise<A>): Promise<Loaded<A>> {
  return answer.then(
    (answer) => ({ kind: "answered", request, answer }),
    (error: unknown) => ({ kind: "failed", request, detail: messageOf(error) }),
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Starts work and returns a function that aborts it. */
function abortable(work: (signal: AbortSignal) => Promise<void>): () => void {
  const controller = new AbortController();
  void work(controller.signal);
  return () => {
    controller.abort();
  };
}
