import type { ReactElement } from "react";
import { useProfile } from "../profile/store";
import { useBoard } from "./store";

/** A button that changes the user's document in MongoDB and sends the request again. */
export function WriteButton(): ReactElement {
  const userId = useProfile((store) => (store.profile.kind === "empty" ? "7" : store.profile.request.userId));
  const write = useBoard((store) => store.write);
  const isBusy = useBoard((store) => store.changing !== "");
  const retry = useProfile((store) => store.retry);

  const press = async () => {
    if (isBusy) {
      return; // a disabled button would lose the focus
    }
    await write(userId);
    await retry();
  };

  return (
    <fieldset aria-busy={isBusy}>
      <legend>The document in MongoDB</legend>
      <div className="buttons">
        <button type="button" aria-disabled={isBusy} onClick={() => void press()}>
          Add 1 to the score
        </button>
      </div>
    </fieldset>
  );
}
