import type { ReactElement } from "react";
import { useProfile } from "../profile/store";
import { legacyFaults } from "./faults";

/** Buttons that send the request again with a fault of the legacy service. */
export function LegacyButtons(): ReactElement {
  const request = useProfile((store) => (store.profile.kind === "empty" ? undefined : store.profile.request));
  const show = useProfile((store) => store.show);
  return (
    <fieldset>
      <legend>Legacy service</legend>
      <div className="buttons">
        {legacyFaults.map(({ fault, label }) => (
          <button
            key={fault}
            type="button"
            className={fault === "" ? "well" : "ill"}
            aria-pressed={fault === request?.fault}
            onClick={() => void show({ userId: request?.userId ?? "7", fault })}
          >
            {label}
          </button>
        ))}
      </div>
    </fieldset>
  );
}
