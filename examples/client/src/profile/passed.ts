/** Why an answer is the legacy service's own though nobody marked it. */
export const wentPast =
  "weft lets this id pass to the legacy service: it takes ids in their plain spelling only, such as 7, " +
  "since systems read others differently, or not at all.";

/** Whether an id is an integer of 64 bits, spelled as everybody spells it: not 007, +5 or 1e3. */
export function isPlain(userId: string): boolean {
  return /^(?:0|-?[1-9]\d{0,18})$/.test(userId) && BigInt.asIntN(64, BigInt(userId)) === BigInt(userId);
}
