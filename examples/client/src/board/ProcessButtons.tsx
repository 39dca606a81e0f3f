import type { ReactElement } from "react";
import { useProfile } from "../profile/store";
import { type ProcessFault, processFaults } from "./faults";
import { useBoard } from "./store";

/** Ends and freezes real processes of the demo. A second press starts them again. */
export function ProcessButtons(): ReactElement {
  const processes = useBoard((store) => store.processes) ?? {};
  const changing = useBoard((store) => store.changing);
  const trouble = useBoard((store) => store.trouble);
  const faults = processFaults.filter(({ process }) => process in processes);
  const present = faults.filter(({ process, state }) => processes[process] === state);
  return (
    <fieldset aria-busy={changing !== ""}>
      <legend>… and these processes are …</legend>
      <div className="buttons">
        {faults.map((fault) => (
          <ProcessButton key={fault.label} fault={fault} isPressed={present.includes(fault)} />
        ))}
      </div>
      <div className="what" role="status">
        {changing !== "" && <p>Changing {changing} …</p>}
        {changing === "" && present.length === 0 && <p>All run.</p>}
        {changing === "" && present.map(({ label, what }) => <p key={label}>{what} Press again to end it.</p>)}
        {trouble !== "" && <p className="trouble">{trouble}</p>}
      </div>
    </fieldset>
  );
}

interface Props {
  readonly fault: ProcessFault;
  readonly isPressed: boolean;
}

function ProcessButton({ fault, isPressed }: Props): ReactElement {
  const change = useBoard((store) => store.change);
  const isBusy = useBoard((store) => store.changing !== "");
  const retry = useProfile((store) => store.retry);

  const press = async () => {
    if (isBusy) {
      return; // not disabled: that would take the focus away
    }
    await change(fault.process, isPressed ? "run" : fault.verb);
    await retry();
  };

  return (
    <button type="button" aria-pressed={isPressed} aria-disabled={isBusy} onClick={() => void press()}>
      {fault.label}
    </button>
  );
}
