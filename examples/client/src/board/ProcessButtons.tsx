import type { ReactElement } from "react";
import { useProfile } from "../profile/store";
import type { ProcessChoices } from "./faults";
import { useBoard } from "./store";

interface Props {
  readonly choices: ProcessChoices;
  /** The current state. */
  readonly state: string;
}

/** Buttons that stop, freeze and start a process of the demo and send the request again. */
export function ProcessButtons({ choices, state }: Props): ReactElement {
  const { process, label, well, faults } = choices;
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

  return (
    <fieldset aria-busy={isBusy}>
      <legend>{label}</legend>
      <div className="buttons">
        {[...well, ...faults].map((choice) => (
          <button
            key={choice.verb}
            type="button"
            className={well.includes(choice) ? "well" : "ill"}
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
