import type { ReactElement } from "react";
import type { Extension } from "../contract";
import { showJson } from "../json";
import type { Stale } from "./stale";

interface Props {
  readonly extension: Extension;
  readonly stale: Stale;
}

/** The extension, from MongoDB. */
export function ExtensionView({ extension, stale }: Props): ReactElement {
  const settings = Object.entries(extension.customSettings);
  return (
    <section className="half extension" aria-labelledby="extension-title">
      <p className="source">MongoDB</p>
      <h3 id="extension-title">Profile</h3>
      {stale.extension && <p className="stale">An older copy</p>}
      <dl>
        <dt>Tags</dt>
        <dd>{extension.tags.length === 0 ? "none" : <Tags tags={extension.tags} />}</dd>
        <dt>Activity score</dt>
        <dd>{extension.lastActivityScore?.toString() ?? "unknown"}</dd>
        <dt>Settings</dt>
        <dd>
          {settings.length === 0
            ? "none"
            : settings.map(([name, value]) => (
                <div key={name}>
                  <bdi>
                    <code>{name === "" ? '""' : name}</code>
                  </bdi>{" "}
                  <bdi>{showJson(value)}</bdi>
                </div>
              ))}
        </dd>
      </dl>
    </section>
  );
}

function Tags({ tags }: { readonly tags: readonly string[] }): ReactElement {
  return (
    <ul className="tags">
      {[...new Set(tags)].map((tag) => (
        <li key={tag}>{tag}</li>
      ))}
    </ul>
  );
}
