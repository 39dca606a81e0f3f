import type { ReactElement } from "react";
import { missing, shorten } from "./ProfileView";
import { type Stale, staleOf } from "./stale";
import { type Profile, useProfile } from "./store";

/** Announces the state to screen readers. It is always rendered: a live region that appears with its text is not read. */
export function Announcer(): ReactElement {
  const profile = useProfile((store) => store.profile);
  return (
    <p className="visually-hidden" role="status" aria-live="polite">
      {announcement(profile)}
    </p>
  );
}

function older({ core, extension }: Stale): string {
  return core || extension ? " It may be out of date." : "";
}

function announcement(profile: Profile): string {
  if (profile.kind === "empty") {
    return "";
  }
  const userId = shorten(profile.request.userId);
  switch (profile.kind) {
    case "loading":
      return `Loading user ${userId}.`;
    case "composite":
      return `User ${userId}, ${profile.core.username}, is shown.${older(staleOf(profile.answer))}`;
    case "partial":
      return `User ${userId} is shown in part. ${missing(profile.core === null, profile.extension === null)}`;
    case "failed":
      return `User ${userId} cannot be shown. ${profile.detail}`;
  }
}
