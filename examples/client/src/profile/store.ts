import { create } from "zustand";
import { fetchProfile, type Outcome, type ProfileRequest } from "./fetchProfile";

/** The state of the page. Each state has only its own data, so data of a previous user cannot remain. */
export type Profile =
  | { readonly kind: "empty" }
  | { readonly kind: "loading"; readonly request: ProfileRequest }
  | (Outcome & { readonly request: ProfileRequest });

/** The states after a request. */
export type Requested = Exclude<Profile, { kind: "empty" }>;

interface ProfileStore {
  readonly profile: Profile;
  /** Requests a profile and aborts the previous request. */
  readonly show: (request: ProfileRequest) => Promise<void>;
  /** Sends the request again. */
  readonly retry: () => Promise<void>;
  /** Returns to the empty state. */
  readonly clear: () => void;
}

export const useProfile = create<ProfileStore>()((set, get) => {
  let current = new AbortController();

  const show = async (request: ProfileRequest) => {
    current.abort();
    const mine = new AbortController();
    current = mine;
    set({ profile: { kind: "loading", request } });
    const outcome = await fetchProfile(request, mine.signal);
    if (!mine.signal.aborted) {
      set({ profile: { ...outcome, request } });
    }
  };

  return {
    profile: { kind: "empty" },
    show,
    retry: async () => {
      const { profile } = get();
      if (profile.kind !== "empty") {
        await show({ ...profile.request });
      }
    },
    clear: () => {
      current.abort();
      set({ profile: { kind: "empty" } });
    },
  };
});
