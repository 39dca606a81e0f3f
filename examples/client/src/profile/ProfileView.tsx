import type { ReactElement } from "react";
import { CoreView } from "./CoreView";
import { ExtensionView } from "./ExtensionView";
import { type Profile, useProfile } from "./store";

/** The profile, or what there is instead. */
export function ProfileView(): ReactElement {
  const profile = useProfile((store) => store.profile);
  return (
    <div className={`profile ${profile.kind}`} data-state={profile.kind} aria-busy={profile.kind === "loading"}>
      {content(profile)}
    </div>
  );
}

function content(profile: Profile): ReactElement {
  switch (profile.kind) {
    case "empty":
      return <p className="quiet">Nobody is shown yet. Enter a user id, from 1 to 1000 in the demo.</p>;
    case "loading":
      return <p className="quiet">Loading user {profile.request.userId} …</p>;
    case "composite":
      return (
        <>
          <CoreView core={profile.core} />
          <ExtensionView extension={profile.extension} />
        </>
      );
    case "partial":
      return (
        <>
          <div className="banner warning">
            <p>
              <strong>{missing(profile.core === null, profile.extension === null)}</strong>
            </p>
            {profile.errors.map((error) => (
              <p key={error}>{error}</p>
            ))}
            <Retry />
          </div>
          {profile.core !== null && <CoreView core={profile.core} />}
          {profile.extension !== null && <ExtensionView extension={profile.extension} />}
        </>
      );
    case "failed":
      return (
        <div className="banner failure">
          <p>
            <strong>User {profile.request.userId} cannot be shown.</strong>
          </p>
          <p>{profile.detail}</p>
          <Retry />
        </div>
      );
  }
}

/** Says which half is missing. */
export function missing(core: boolean, extension: boolean): string {
  if (core && extension) {
    return "Both halves are missing.";
  }
  if (core) {
    return "The user’s core data are missing.";
  }
  return extension ? "Tags, score and settings are missing." : "The profile may be incomplete.";
}

function Retry(): ReactElement {
  const retry = useProfile((store) => store.retry);
  return (
    <button type="button" onClick={() => void retry()}>
      Try again
    </button>
  );
}
