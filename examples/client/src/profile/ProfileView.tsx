import type { MouseEvent, ReactElement, ReactNode } from "react";
import { CoreView } from "./CoreView";
import { ExtensionView } from "./ExtensionView";
import { MissingHalf } from "./MissingHalf";
import { staleOf } from "./stale";
import { type Profile, useProfile } from "./store";

/** The profile, or a message. */
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
      return <p className="hint">No user yet. Enter a user ID.</p>;
    case "loading":
      return (
        <p className="hint">
          <span>
            Loading user <bdi>{shorten(profile.request.userId)}</bdi> …
          </span>
        </p>
      );
    case "composite":
      return (
        <>
          <CoreView core={profile.core} stale={staleOf(profile.answer)} />
          <ExtensionView extension={profile.extension} stale={staleOf(profile.answer)} />
        </>
      );
    case "partial":
      return (
        <>
          <Banner kind="warning" title={missing(profile.core === null, profile.extension === null)}>
            {profile.errors.map((error) => (
              <p key={error}>{error}</p>
            ))}
          </Banner>
          {profile.core === null ? (
            <MissingHalf kind="core" />
          ) : (
            <CoreView core={profile.core} stale={staleOf(profile.answer)} />
          )}
          {profile.extension === null ? (
            <MissingHalf kind="extension" />
          ) : (
            <ExtensionView extension={profile.extension} stale={staleOf(profile.answer)} />
          )}
        </>
      );
    case "failed":
      return (
        <Banner
          kind="failure"
          title={
            <>
              User <bdi>{shorten(profile.request.userId)}</bdi> cannot be shown.
            </>
          }
        >
          <p>{profile.detail}</p>
        </Banner>
      );
  }
}

/** A message about what is missing. */
export function missing(core: boolean, extension: boolean): string {
  if (core && extension) {
    return "Core and extension are missing.";
  }
  if (core) {
    return "Name, e-mail and date are missing.";
  }
  return extension ? "Tags, score and settings are missing." : "The profile may be incomplete.";
}

/** Shortens a long ID. */
export function shorten(userId: string): string {
  return userId.length <= 40 ? userId : `${userId.slice(0, 40).toWellFormed()}…`;
}

interface BannerProps {
  readonly kind: "warning" | "failure";
  readonly title: ReactNode;
  readonly children: ReactNode;
}

function Banner({ kind, title, children }: BannerProps): ReactElement {
  const retry = useProfile((store) => store.retry);
  const again = ({ currentTarget }: MouseEvent<HTMLButtonElement>) => {
    currentTarget.closest("section")?.focus(); // the button disappears while the user loads
    void retry();
  };
  return (
    <div className={`banner ${kind}`}>
      <div>
        <p>
          <strong>{title}</strong>
        </p>
        {children}
      </div>
      <button type="button" onClick={again}>
        Try again
      </button>
    </div>
  );
}
