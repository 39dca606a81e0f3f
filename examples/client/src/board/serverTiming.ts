/** One entry of a server-timing header. */
export interface Timing {
  readonly name: string;
  readonly milliseconds: number;
}

/** Parses a server-timing header such as legacy;dur=12.3, mongodb;dur=1.5. Omits entries without a duration. */
export function parseServerTiming(value: string): readonly Timing[] {
  // Remove quoted descriptions, which may contain commas and semicolons.
  return value
    .replace(/"(?:\\.|[^"\\])*"/g, "")
    .split(",")
    .flatMap((entry) => {
      const [name = "", ...parameters] = entry.split(";").map((part) => part.trim());
      const duration = parameters.map((parameter) => /^dur\s*=\s*(\d+(?:\.\d+)?)$/i.exec(parameter)?.[1]).find(Boolean);
      return name === "" || duration === undefined ? [] : [{ name, milliseconds: Number(duration) }];
    });
}
