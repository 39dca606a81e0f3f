import { isObject, parseJson } from "../json";

/** A member of a JSON object, spelled as it is. What all members are made of, one after the other, is the object. */
export interface Member {
  readonly name: string;
  /** What stands before the value: the name and a colon, for the first member a brace, too. */
  readonly before: string;
  readonly value: string;
  /** What stands behind the value: a comma, or the last brace. */
  readonly after: string;
}

/** Takes the text of a JSON object apart; undefined when it is none. */
export function membersOf(text: string): readonly Member[] | undefined {
  if (!isObject(parseJson(text))) {
    return undefined;
  }
  const members: Member[] = [];
  let depth = 0;
  let name = "";
  let began = 0; // the member
  let valueBegan = 0;
  // Strings are stepped over as a whole, so a brace in one is none.
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
