import { type ReactElement, useEffect } from "react";
import { Faults } from "./board/Faults";
import { Selection } from "./board/Selection";
import { useBoard } from "./board/store";
import { Verdict } from "./board/Verdict";
import { Wire } from "./board/Wire";
import { Announcer } from "./profile/Announcer";
import { ProfileForm } from "./profile/ProfileForm";
import { ProfileView } from "./profile/ProfileView";
import { useProfile } from "./profile/store";

/** The client, and, if the demo runs, the failure board around it. */
export function App(): ReactElement {
  const profile = useProfile((store) => store.profile);
  const clear = useProfile((store) => store.clear);
  const isDemo = useBoard((store) => store.processes !== undefined);
  const detectDemo = useBoard((store) => store.detectDemo);
  useEffect(detectDemo, [detectDemo]);
  useEffect(() => clear, [clear]);

  return (
    <>
      <header className="masthead">
        <img src="/icon.svg" alt="" width="40" height="40" />
        <div>
          <h1>weft</h1>
          <p>
            One response from two systems. Envoy calls the <b className="legacy">legacy service</b>, weft reads{" "}
            <b className="mongodb">MongoDB</b> <em>concurrently</em>, and the client gets both.
          </p>
        </div>
      </header>
      <main className={isDemo ? "with-board" : "alone"}>
        <div className="controls">
          <ProfileForm />
          {isDemo && (
            <>
              <p className="users">
                The demo has users 1 to 1000. <br />
                Odd ones: 13, 17, 19, 21, 1001, 007.
              </p>
              <Faults />
            </>
          )}
        </div>
        <div className="results">
          {isDemo && profile.kind !== "empty" && <Verdict profile={profile} />}
          <section aria-labelledby="profile-title" tabIndex={-1}>
            <h2 id="profile-title">What a client shows</h2>
            <Announcer />
            <ProfileView />
          </section>
          {isDemo && profile.kind !== "empty" && (
            <>
              <Wire profile={profile} />
              <Selection profile={profile} />
            </>
          )}
        </div>
      </main>
    </>
  );
}
