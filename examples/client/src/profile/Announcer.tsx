import type { ReactElement } from "react";
import { missing, shorten } from "./ProfileView";
import { type Profile, useProfile } from "./store";

/** Tells those who do not see the page what has become of it. It is always there: a live region that comes with its text is not read. */
export function Announcer(): ReactElement {
  const profile = useProfile((store) => store.profile);
  return (
    <p className="visually-hidden" role="status" aria-live="polite">
      {announcement(profile)}
    </p>
  );
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
      return `User ${userId}, ${profile.core.username}, is shown.`;
    case "partial":
      return `User ${userId} is shown in part. ${missing(profile.core === null, profile.extension === null)}`;
    case "failed":
      return `User ${userId} cannot be shown. ${profile.detail}`;
  }
}
