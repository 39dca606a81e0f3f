import { type ReactElement, type ReactNode, useEffect } from "react";
import { header } from "../answer";
import { pathOf } from "../profile/fetchProfile";
import type { Requested } from "../profile/store";
import { AnswerCard, Card } from "./AnswerCard";
import { Body, originOf } from "./Body";
import { membersOf } from "./members";
import { parseServerTiming } from "./serverTiming";
import { type Legacy, useBoard } from "./store";
import { Timeline } from "./Timeline";

/** The timeline, and the legacy service's response next to the client's. */
export function Wire({ profile }: { readonly profile: Requested }): ReactElement {
  const { request } = profile;
  const loadLegacy = useBoard((store) => store.loadLegacy);
  const refresh = useBoard((store) => store.refresh);
  useEffect(() => loadLegacy(request), [request, loadLegacy]);
  useEffect(refresh, [request, refresh]);
  // Ignore the legacy response to another request.
  const legacy = useBoard((store) =>
    store.legacy.kind !== "none" && store.legacy.request === request ? store.legacy : none,
  );
  const answer = profile.kind === "loading" ? null : profile.answer;
  return (
    <>
      <section aria-labelledby="timeline-title">
        <h2 id="timeline-title">Timeline</h2>
        {answer === null ? (
          <div className="timeline">
            {profile.kind === "loading" ? <Waiting /> : <p className="quiet">No complete response.</p>}
          </div>
        ) : (
          <Timeline timing={parseServerTiming(header(answer, "server-timing"))} />
        )}
      </section>
      <section aria-labelledby="wire-title">
        <h2 id="wire-title">On the wire</h2>
        <div className="cards">
          <Card title="The legacy service alone" request={pathOfLegacy(request)}>
            {legacyContent(legacy)}
          </Card>
          <Card title="Through Envoy and weft" request={pathOf(request)}>
            {compositeContent(profile, legacy)}
          </Card>
        </div>
      </section>
    </>
  );
}

const none: Legacy = { kind: "none" };

function legacyContent(legacy: Legacy): ReactNode {
  switch (legacy.kind) {
    case "none":
    case "loading":
      return <Waiting />;
    case "failed":
      return <p className="trouble">{legacy.detail}</p>;
    case "answered":
      return (
        <AnswerCard answer={legacy.answer} error={legacy.answer.error}>
          <Body label="Body of the legacy response" text={legacy.answer.body} origin="legacy" />
        </AnswerCard>
      );
  }
}

function compositeContent(profile: Requested, legacy: Legacy): ReactNode {
  if (profile.kind === "loading") {
    return <Waiting />;
  }
  const { answer } = profile;
  if (answer === null) {
    return <p className="trouble">No complete response.</p>;
  }
  const core = membersOf(answer.body)?.find(({ name }) => name === "core")?.value;
  const isSame = legacy.kind === "answered" && core !== undefined && core === legacy.answer.body;
  return (
    <AnswerCard answer={answer} error="">
      <Body label="Body of the composite response" text={answer.body} origin={originOf(answer)} />
      {isSame && <p className="same">The core is the legacy body, byte for byte.</p>}
    </AnswerCard>
  );
}

function pathOfLegacy(request: Requested["request"]): string {
  return pathOf(request).replace("/api/v3/composite-profile/", "/api/v1/users/");
}

/** The placeholder for a response. */
export function Waiting(): ReactElement {
  return <p className="waiting">Waiting …</p>;
}
