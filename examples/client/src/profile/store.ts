import { create } from "zustand";
import { fetchProfile, type Outcome, type ProfileRequest } from "./fetchProfile";

/** What there is to show. Each state has only what belongs to it, so nothing of another user can be left over. */
export type Profile =
  | { readonly kind: "empty" }
  | { readonly kind: "loading"; readonly request: ProfileRequest }
  | (Outcome & { readonly request: ProfileRequest });

/** The same, once something was asked for. */
export type Asked = Exclude<Profile, { kind: "empty" }>;

interface ProfileStore {
  readonly profile: Profile;
  /** Asks for a profile, and forgets what was asked for before. */
  readonly show: (request: ProfileRequest) => Promise<void>;
  /** Asks for the same again. */
  readonly retry: () => Promise<void>;
  /** Back to nothing. */
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
