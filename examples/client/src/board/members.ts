import { isObject, parseJson } from "../json";

/** The text of a member of a JSON object. The texts of all members, joined, are the object. */
export interface Member {
  readonly name: string;
  /** The text before the value: the name, a colon, and for the first member a brace. */
  readonly before: string;
  readonly value: string;
  /** The text after the value: a comma or the last brace. */
  readonly after: string;
}

/** Splits a JSON object into its members; undefined if the text is not an object. */
export function membersOf(text: string): readonly Member[] | undefined {
  if (!isObject(parseJson(text))) {
    return undefined;
  }
  const members: Member[] = [];
  let depth = 0;
  let name = "";
  let began = 0; // the member
  let valueBegan = 0;
  // A string is one token, so braces in strings do not count.
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    const end = index + token.length;
    if (token === "{" || token === "[") {
      depth++;
    } else if (depth === 1 && valueBegan === 0 && token.startsWith('"')) {
      name = JSON.parse(token) as string;
    } else if (depth === 1 && valueBegan === 0 && token === ":") {
      valueBegan = end;
    } else if (depth === 1 && (token === "," || token === "}") && valueBegan !== 0) {
      const after = token === "}" ? text.slice(index) : token;
      members.push({ name, before: text.slice(began, valueBegan), value: text.slice(valueBegan, index), after });
      began = end;
      valueBegan = 0;
    }
    if (token === "}" || token === "]") {
      depth--;
    }
  }
  return members;
}
