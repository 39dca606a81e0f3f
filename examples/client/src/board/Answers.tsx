import type { ReactElement } from "react";
import { header } from "../answer";
import { type Profile, useProfile } from "../profile/store";
import { AnswerCard, Card } from "./AnswerCard";
import { parseServerTiming } from "./serverTiming";
import { type Legacy, useBoard } from "./store";
import { Timeline } from "./Timeline";

type Asked = Exclude<Profile, { kind: "empty" }>;

/** The legacy service's own answer beside the one that the client got. */
export function Answers({ profile }: { readonly profile: Asked }): ReactElement {
  const legacy = useBoard((store) => store.legacy);
  const retry = useProfile((store) => store.retry);
  const timing = profile.kind === "loading" || profile.answer === null ? [] : timingOf(profile.answer);
  return (
    <section className="answers" aria-labelledby="answers-title">
      <h3 id="answers-title">User {profile.request.userId}, on the wire</h3>
      <p>
        <button type="button" onClick={() => void retry()}>
          Ask again
        </button>
      </p>
      <div className="cards">
        {/* Until the legacy service is asked for this request, its answer is one to another. */}
        <LegacyCard legacy={legacy.kind !== "none" && legacy.request === profile.request ? legacy : { kind: "none" }} />
        <CompositeCard profile={profile} />
      </div>
      {timing.length > 0 && <Timeline timing={timing} />}
    </section>
  );
}

function timingOf(answer: Parameters<typeof header>[0]): ReturnType<typeof parseServerTiming> {
  return parseServerTiming(header(answer, "server-timing"));
}

const legacyTitle = "The legacy service alone";
const compositeTitle = "Through Envoy and weft";

function LegacyCard({ legacy }: { readonly legacy: Legacy }): ReactElement {
  switch (legacy.kind) {
    case "none":
    case "loading":
      return <Card title={legacyTitle}>Asking …</Card>;
    case "failed":
      return <Card title={legacyTitle}>{legacy.detail}</Card>;
    case "answered":
      return <AnswerCard title={legacyTitle} answer={legacy.answer} error={legacy.answer.error} />;
  }
}

function CompositeCard({ profile }: { readonly profile: Asked }): ReactElement {
  if (profile.kind === "loading") {
    return <Card title={compositeTitle}>Asking …</Card>;
  }
  if (profile.answer === null) {
    return <Card title={compositeTitle}>No whole answer came.</Card>;
  }
  return <AnswerCard title={compositeTitle} answer={profile.answer} error="" />;
}
