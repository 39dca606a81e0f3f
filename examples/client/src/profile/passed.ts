/** Why a legacy response passed without x-weft. */
export const passedNote =
  "This ID passes to the legacy service unchanged: weft matches only IDs in canonical form, such as 7, " +
  "because systems interpret others differently.";

/** Whether an ID is a 64-bit integer in canonical form: not 007, +5 or 1e3. */
export function isCanonical(userId: string): boolean {
  return /^(?:0|-?[1-9]\d{0,18})$/.test(userId) && BigInt.asIntN(64, BigInt(userId)) === BigInt(userId);
}
