/** One entry of a server-timing header. */
export interface Timing {
  readonly name: string;
  readonly milliseconds: number;
}

/** Reads a server-timing header, as in legacy;dur=12.3, mongodb;dur=1.5. Entries without a duration are left out. */
export function parseServerTiming(value: string): readonly Timing[] {
  // A description may be quoted, with commas and semicolons inside; nobody shows it here.
  return value
    .replace(/"(?:\\.|[^"\\])*"/g, "")
    .split(",")
    .flatMap((entry) => {
      const [name = "", ...parameters] = entry.split(";").map((part) => part.trim());
      const duration = parameters.map((parameter) => /^dur\s*=\s*(\d+(?:\.\d+)?)$/i.exec(parameter)?.[1]).find(Boolean);
      return name === "" || duration === undefined ? [] : [{ name, milliseconds: Number(duration) }];
    });
}
