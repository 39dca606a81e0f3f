import type { ReactElement } from "react";
import { useProfile } from "../profile/store";
import type { ProcessFault } from "./faults";
import { useBoard } from "./store";

interface Props {
  /** Name in the control endpoint. */
  readonly process: string;
  readonly label: string;
  /** running, frozen or stopped. */
  readonly state: string;
  readonly faults: readonly ProcessFault[];
}

/** Buttons that stop, freeze and start a process of the demo and send the request again. */
export function ProcessButtons({ process, label, state, faults }: Props): ReactElement {
  const change = useBoard((store) => store.change);
  const isBusy = useBoard((store) => store.changing !== "");
  const retry = useProfile((store) => store.retry);

  const press = async (verb: string) => {
    if (isBusy) {
      return; // a disabled button would lose the focus
    }
    await change(process, verb, label);
    await retry();
  };

  const choices = [{ verb: "run", state: "running", label: "Running" }, ...faults];
  return (
    <fieldset aria-busy={isBusy}>
      <legend>{label}</legend>
      <div className="buttons">
        {choices.map((choice) => (
          <button
            key={choice.verb}
            type="button"
            className={choice.verb === "run" ? "well" : "ill"}
            aria-pressed={choice.state === state}
            aria-disabled={isBusy}
            onClick={() => void press(choice.verb)}
          >
            {choice.label}
          </button>
        ))}
      </div>
    </fieldset>
  );
}
