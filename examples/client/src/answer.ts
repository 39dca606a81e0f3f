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
  // By itself, no-store would make browsers send cache-control: no-cache, which forbids older copies (RFC 9111).
  const headers = { accept: "application/json", "cache-control": "stale-if-error=3600" };
  const response = await fetch(path, { headers, cache: "no-store", signal });
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
