import type { ReactElement } from "react";

/** The placeholder for a missing core or extension. */
export function MissingHalf({ kind }: { readonly kind: "core" | "extension" }): ReactElement {
  return (
    <section className={`half missing ${kind}`} aria-labelledby={`${kind}-title`}>
      <p className="source">{kind === "core" ? "Legacy service" : "MongoDB"}</p>
      <h3 id={`${kind}-title`}>{kind === "core" ? "Name unknown" : "Profile unknown"}</h3>
      <p className="quiet">Not in this response.</p>
    </section>
  );
}
