import { type ReactElement, type SubmitEvent, useEffect, useState } from "react";
import { detailOf, pathOf } from "../profile/fetchProfile";
import type { Requested } from "../profile/store";
import { AnswerCard, Card } from "./AnswerCard";
import { Body, originOf } from "./Body";
import { type Selected, useBoard } from "./store";
import { Waiting } from "./Wire";

/** A form that selects members of the response, and the response with these only. */
export function Selection({ profile }: { readonly profile: Requested }): ReactElement {
  const { request } = profile;
  const [fields, setFields] = useState("core.username,extension.tags");
  const [sent, setSent] = useState<{ readonly fields: string }>();
  const loadSelected = useBoard((store) => store.loadSelected);
  // The selection follows the user and the fault.
  useEffect(() => (sent === undefined ? undefined : loadSelected(request, sent.fields)), [request, sent, loadSelected]);
  // Ignore the response to another request.
  const selected = useBoard((store) =>
    store.selected.kind !== "none" && store.selected.request === request ? store.selected : none,
  );

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setSent({ fields: fields.toWellFormed().replaceAll(/\s/g, "") });
  };

  return (
    <section className="selection" aria-labelledby="selection-title">
      <h2 id="selection-title">What a client selects</h2>
      <form onSubmit={submit}>
        <label htmlFor="fields">Members</label>
        <input
          id="fields"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          aria-describedby="fields-help"
          value={fields}
          onChange={(event) => {
            setFields(event.target.value);
          }}
        />
        <button type="submit">Select</button>
      </form>
      <p id="fields-help" className="help">
        Members of core and extension, separated by commas. weft rejects unknown members, and lists those that it knows.
      </p>
      <p className="what" role="status">
        {resultOf(profile, selected)}
      </p>
      {sent !== undefined && (
        <Card title="The selected members" request={pathOf(request, sent.fields)}>
          {contentOf(selected)}
        </Card>
      )}
    </section>
  );
}

const none: Selected = { kind: "none" };

/** Compares the selection with the complete response. */
function resultOf(profile: Requested, selected: Selected): string {
  if (profile.kind === "loading" || selected.kind !== "answered") {
    return "";
  }
  const { answer } = selected;
  if (answer.status !== 200) {
    return detailOf(answer);
  }
  const complete = profile.answer?.status === 200 ? `; the complete response has ${profile.answer.bytes}` : "";
  return `The selection has ${answer.bytes} bytes${complete}.`;
}

function contentOf(selected: Selected): ReactElement {
  switch (selected.kind) {
    case "none":
    case "loading":
      return <Waiting />;
    case "failed":
      return <p className="trouble">No complete response.</p>;
    case "answered":
      return (
        <AnswerCard answer={selected.answer} error="">
          <Body label="Body of the selection" text={selected.answer.body} origin={originOf(selected.answer)} />
        </AnswerCard>
      );
  }
}
