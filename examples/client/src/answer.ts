/** An HTTP response as received. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  /** Length of the body, in bytes. */
  readonly bytes: number;
}

/** Fetches a path and reads the whole response. Rejects if there is none, if it is incomplete, and if the signal aborts. */
export async function fetchAnswer(path: string, signal: AbortSignal): Promise<Answer> {
  const response = await fetch(path, { headers: { accept: "application/json" }, cache: "no-store", signal });
  const body = await response.arrayBuffer();
  return {
    status: response.status,
    headers: [...response.headers],
    body: new TextDecoder().decode(body),
    bytes: body.byteLength,
  };
}

/** The value of a header, or "". The name is in lower case. */
export function header(answer: Answer, name: string): string {
  return answer.headers.find(([each]) => each === name)?.[1] ?? "";
}
