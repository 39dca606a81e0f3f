import { type ReactElement, type ReactNode, useId } from "react";
import type { Answer } from "../answer";

interface CardProps {
  readonly title: string;
  /** The requested path. */
  readonly request: string;
  readonly children: ReactNode;
}

/** A titled frame. */
export function Card({ title, request, children }: CardProps): ReactElement {
  const id = useId();
  return (
    <article className="card" aria-labelledby={id}>
      <h3 id={id}>{title}</h3>
      <p className="request">
        <code>GET {request}</code>
      </p>
      {children}
    </article>
  );
}

interface AnswerProps {
  readonly answer: Answer;
  /** Why the response is incomplete; "" if it is complete. */
  readonly error: string;
  /** The body. */
  readonly children: ReactNode;
}

/** A response as received: status, body and headers. */
export function AnswerCard({ answer, error, children }: AnswerProps): ReactElement {
  return (
    <>
      <p className={`status ${answer.status >= 200 && answer.status < 300 ? "good" : "bad"}`}>
        <strong data-role="status">{answer.status === 0 ? "no response" : answer.status}</strong>
        <span className="quiet">{size(answer.bytes)}</span>
      </p>
      {error !== "" && <p className="trouble">{error}</p>}
      {answer.body !== "" && children}
      <dl className="headers">
        {answer.headers.map(([name, value]) => (
          <div key={name} className={name === "x-weft" || name === "server-timing" ? "mark" : undefined}>
            <dt>{name}</dt>
            <dd data-volatile={volatile.has(name) ? "" : undefined}>
              {name === "server-timing" ? value.split(/(?<=,)/).map((entry) => <div key={entry}>{entry}</div>) : value}
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** Headers that differ between responses; comparisons of screenshots ignore them. */
const volatile = new Set(["date", "server-timing", "x-envoy-upstream-service-time"]);

function size(bytes: number): string {
  return bytes < 10_000 ? `${bytes} bytes` : `${(bytes / 1e6).toFixed(1)} MB`;
}
