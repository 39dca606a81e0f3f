import { type ReactElement, type ReactNode, useId } from "react";
import type { Answer } from "../answer";

interface CardProps {
  readonly title: string;
  readonly children: ReactNode;
}

/** A titled frame. */
export function Card({ title, children }: CardProps): ReactElement {
  const id = useId();
  return (
    <article className="card" aria-labelledby={id}>
      <h4 id={id}>{title}</h4>
      {children}
    </article>
  );
}

interface AnswerProps {
  readonly title: string;
  readonly answer: Answer;
  /** How it broke off; "" if it did not. */
  readonly error: string;
}

/** An answer as it came: status, headers and the beginning of the body. */
export function AnswerCard({ title, answer, error }: AnswerProps): ReactElement {
  return (
    <Card title={title}>
      <p className="status">
        <strong data-role="status">{answer.status === 0 ? "no answer" : answer.status}</strong>
        <span className="quiet">
          {answer.milliseconds.toFixed(1)} ms, {size(answer.bytes)}
        </span>
      </p>
      {error !== "" && <p className="trouble">{error}</p>}
      <dl className="headers">
        {answer.headers.map(([name, value]) => (
          <div key={name} className={name === "x-weft" ? "mark" : undefined}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {answer.body !== "" && (
        <pre tabIndex={0} role="region" aria-label={`${title}: body`}>
          {beginning(answer.body)}
        </pre>
      )}
    </Card>
  );
}

/** As much as anybody reads. */
function beginning(body: string): string {
  const enough = 1000;
  return body.length <= enough ? body : `${body.slice(0, enough)} …`;
}

function size(bytes: number): string {
  return bytes < 10_000 ? `${bytes} bytes` : `${(bytes / 1e6).toFixed(1)} MB`;
}
