import { type ReactElement, type ReactNode, useEffect } from "react";
import { type Answer, header } from "../answer";
import { pathOf } from "../profile/fetchProfile";
import type { Asked } from "../profile/store";
import { AnswerCard, Card } from "./AnswerCard";
import { Body, type Origin } from "./Body";
import { membersOf } from "./members";
import { parseServerTiming } from "./serverTiming";
import { type Legacy, useBoard } from "./store";
import { Timeline } from "./Timeline";

/** Who worked when, and the legacy service's own answer beside the one that the client got. */
export function Wire({ profile }: { readonly profile: Asked }): ReactElement {
  const { request } = profile;
  const askLegacy = useBoard((store) => store.askLegacy);
  const refresh = useBoard((store) => store.refresh);
  useEffect(() => askLegacy(request), [request, askLegacy]);
  useEffect(refresh, [request, refresh]);
  // Until the legacy service is asked for this request, its answer is one to another.
  const legacy = useBoard((store) =>
    store.legacy.kind !== "none" && store.legacy.request === request ? store.legacy : none,
  );
  const answer = profile.kind === "loading" ? null : profile.answer;
  return (
    <>
      <section aria-labelledby="timeline-title">
        <h2 id="timeline-title">Who worked when</h2>
        {answer === null ? (
          <div className="timeline">
            {profile.kind === "loading" ? <Waiting /> : <p className="quiet">No whole answer came.</p>}
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
          <Body label="Body of the legacy answer" text={legacy.answer.body} origin="legacy" />
        </AnswerCard>
      );
  }
}

function compositeContent(profile: Asked, legacy: Legacy): ReactNode {
  if (profile.kind === "loading") {
    return <Waiting />;
  }
  const { answer } = profile;
  if (answer === null) {
    return <p className="trouble">No whole answer came.</p>;
  }
  const core = membersOf(answer.body)?.find(({ name }) => name === "core")?.value;
  const isSame = legacy.kind === "answered" && core !== undefined && core === legacy.answer.body;
  return (
    <AnswerCard answer={answer} error="">
      <Body label="Body of the composite answer" text={answer.body} origin={originOf(answer)} />
      {isSame && <p className="same">The core is the legacy answer, byte for byte.</p>}
    </AnswerCard>
  );
}

/** Whose words a body is, by what weft says that it did. */
function originOf(answer: Answer): Origin {
  const mark = header(answer, "x-weft");
  if (mark === "" || mark.startsWith("passed")) {
    return "legacy";
  }
  return answer.status === 200 ? "both" : "envoy";
}

function pathOfLegacy(request: Asked["request"]): string {
  return pathOf(request).replace("/api/v3/composite-profile/", "/api/v1/users/");
}

function Waiting(): ReactElement {
  return <p className="waiting">Asking …</p>;
}
