import type { ReactElement } from "react";
import { LegacyButtons } from "./LegacyButtons";
import { ProcessButtons } from "./ProcessButtons";
import { processFaults } from "./faults";
import { useBoard } from "./store";
import { WriteButton } from "./WriteButton";

/** The failure board's buttons. */
export function Faults(): ReactElement {
  const processes = useBoard((store) => store.processes) ?? {};
  const changing = useBoard((store) => store.changing);
  const trouble = useBoard((store) => store.trouble);
  return (
    <section className="faults" aria-labelledby="faults-title">
      <h2 id="faults-title">Break it</h2>
      <LegacyButtons />
      {processFaults.map((choices) => {
        const state = processes[choices.process];
        // The demo has no buttons for the user's own database.
        return state !== undefined && <ProcessButtons key={choices.process} choices={choices} state={state} />;
      })}
      {processes.caches !== undefined && <WriteButton />}
      <p className="what" role="status">
        {changing !== "" && `${changing} …`}
        {trouble !== "" && <span className="trouble">{trouble}</span>}
      </p>
    </section>
  );
}
