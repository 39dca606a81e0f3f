import { type ReactElement, useEffect } from "react";
import { Board } from "./board/Board";
import { Announcer } from "./profile/Announcer";
import { ProfileForm } from "./profile/ProfileForm";
import { ProfileView } from "./profile/ProfileView";
import { useProfile } from "./profile/store";

export function App(): ReactElement {
  const clear = useProfile((store) => store.clear);
  useEffect(() => clear, [clear]); // nobody waits for an answer that nobody would see

  return (
    <>
      <header>
        <h1>weft</h1>
        <p>
          One answer from two systems: Envoy asks the legacy service, weft reads MongoDB <em>meanwhile</em>, and the
          client gets both.
        </p>
      </header>
      <main>
        <section aria-labelledby="profile-title">
          <h2 id="profile-title">What a client shows</h2>
          <ProfileForm />
          <Announcer />
          <ProfileView />
        </section>
        <Board />
      </main>
    </>
  );
}
