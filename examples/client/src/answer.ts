/** An HTTP answer as it came, for those who want to look at it. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  /** Length of the body, in bytes. */
  readonly bytes: number;
}

/** Asks, and reads the whole answer. Rejects when none comes, when it breaks off, and when the signal aborts. */
export async function ask(path: string, signal: AbortSignal): Promise<Answer> {
  const response = await fetch(path, { headers: { accept: "application/json" }, cache: "no-store", signal });
  const body = await response.arrayBuffer();
  return {
    status: response.status,
    headers: [...response.headers],
    body: new TextDecoder().decode(body),
    bytes: body.byteLength,
  };
}

/** The value of a header, "" if it is not there. The name is in lower case. */
export function header(answer: Answer, name: string): string {
  return answer.headers.find(([each]) => each === name)?.[1] ?? "";
}
