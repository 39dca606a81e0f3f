import { create } from "zustand";
import type { ProfileRequest } from "../profile/fetchProfile";
import { useProfile } from "../profile/store";
import { changeProcess, fetchLegacy, fetchProcesses, type LegacyAnswer, type Processes } from "./control";

/** The legacy service's own answer to what the client asked for. */
export type Legacy =
  | { readonly kind: "none" }
  | { readonly kind: "loading"; readonly request: ProfileRequest }
  | { readonly kind: "answered"; readonly request: ProfileRequest; readonly answer: LegacyAnswer }
  | { readonly kind: "failed"; readonly request: ProfileRequest; readonly detail: string };

interface BoardStore {
  /** undefined where there is no demo to break, or it has not answered yet. */
  readonly processes: Processes | undefined;
  /** What a button is doing, which can take seconds, in words; "" for nothing. */
  readonly changing: string;
  /** What the last button could not do; "" for nothing. */
  readonly trouble: string;
  readonly legacy: Legacy;
  /** Looks for a demo, and shows the first user there. The function that it returns stops that. */
  readonly look: () => () => void;
  /** Looks at the processes again: another page has buttons, too. The function that it returns stops that. */
  readonly refresh: () => () => void;
  /** Brings a process to another state. The label is its name for people. */
  readonly change: (name: string, verb: string, label: string) => Promise<void>;
  /** Asks the legacy service itself. The function that it returns stops that. */
  readonly askLegacy: (request: ProfileRequest) => () => void;
}

export const useBoard = create<BoardStore>()((set, get) => ({
  processes: undefined,
  changing: "",
  trouble: "",
  legacy: { kind: "none" },

  look: () =>
    abortable(async (signal) => {
      const processes = await fetchProcesses(signal).catch(() => undefined);
      if (signal.aborted) {
        return;
      }
      set({ processes });
      // The demo has a user 7. Somebody else's service may not, so there the page starts empty.
      const { profile, show } = useProfile.getState();
      if (processes !== undefined && profile.kind === "empty") {
        await show({ userId: "7", fault: "" });
      }
    }),

  refresh: () =>
    abortable(async (signal) => {
      const processes = await fetchProcesses(signal).catch(() => undefined);
      // While a button changes something, its own answer is the newer one.
      if (!signal.aborted && processes !== undefined && get().changing === "") {
        set({ processes });
      }
    }),

  change: async (name, verb, label) => {
    set({ changing: `${verb} ${label}`, trouble: "" });
    try {
      set({ processes: await changeProcess(name, verb), changing: "" });
    } catch (error) {
      set({ trouble: error instanceof Error ? error.message : String(error), changing: "" });
    }
  },

  askLegacy: (request) =>
    abortable(async (signal) => {
      set({ legacy: { kind: "loading", request } });
      const legacy = await fetchLegacy(request.userId, request.fault, signal).then(
        (answer): Legacy => ({ kind: "answered", request, answer }),
        (error: unknown): Legacy => ({
          kind: "failed",
          request,
          detail: error instanceof Error ? error.message : String(error),
        }),
      );
      if (!signal.aborted) {
        set({ legacy });
      }
    }),
}));

/** Starts work, and returns what stops it. */
function abortable(work: (signal: AbortSignal) => Promise<void>): () => void {
  const controller = new AbortController();
  void work(controller.signal);
  return () => {
    controller.abort();
  };
}
