import type { ReactElement } from "react";
import { useProfile } from "../profile/store";
import { legacyFaults } from "./faults";

interface Props {
  readonly userId: string;
  /** The fault that was asked for last; undefined for no request at all. */
  readonly current: string | undefined;
}

/** Asks for the user again, each time with another fault of the legacy service. */
export function LegacyButtons({ userId, current }: Props): ReactElement {
  const show = useProfile((store) => store.show);
  const what = legacyFaults.find(({ fault }) => fault === current)?.what;
  return (
    <fieldset>
      <legend>The legacy service is …</legend>
      <div className="buttons">
        {legacyFaults.map(({ fault, label }) => (
          <button
            key={fault}
            type="button"
            aria-pressed={fault === current}
            onClick={() => void show({ userId, fault })}
          >
            {label}
          </button>
        ))}
      </div>
      <p className="what">{what ?? "Press one: the same user is asked for again."}</p>
    </fieldset>
  );
}
