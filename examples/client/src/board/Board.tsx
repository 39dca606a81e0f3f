import { type ReactElement, useEffect, useState } from "react";
import { useProfile } from "../profile/store";
import { Answers } from "./Answers";
import { LegacyButtons } from "./LegacyButtons";
import { ProcessButtons } from "./ProcessButtons";
import { useBoard } from "./store";

/** Breaks the demo, and shows what a client gets. Where there is no demo, there is no board. */
export function Board(): ReactElement | null {
  const isDemo = useBoard((store) => store.processes !== undefined);
  const look = useBoard((store) => store.look);
  const [isOpen, setOpen] = useState(true);
  useEffect(look, [look]);
  if (!isDemo) {
    return null;
  }
  return (
    <details
      className="board"
      open={isOpen}
      onToggle={(event) => {
        setOpen(event.currentTarget.open);
      }}
    >
      <summary>
        <h2>Break it</h2>
      </summary>
      {isOpen && <OpenBoard />}
    </details>
  );
}

/** OpenBoard asks the legacy service what the client asks, for as long as it is there. */
function OpenBoard(): ReactElement {
  const profile = useProfile((store) => store.profile);
  const askLegacy = useBoard((store) => store.askLegacy);
  const request = profile.kind === "empty" ? undefined : profile.request;
  useEffect(() => (request === undefined ? undefined : askLegacy(request)), [request, askLegacy]);

  return (
    <>
      <LegacyButtons userId={request?.userId ?? "7"} current={request?.fault} />
      <ProcessButtons />
      {profile.kind !== "empty" && <Answers profile={profile} />}
    </>
  );
}
