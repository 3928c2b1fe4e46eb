export type SnoozeName = "later" | "day" | "week";

/** When a message comes back in the morning: this hour of the person's own clock. */
const MORNING = 8;
/** Later today is so many hours from now. */
const LATER = 3;

/**
 * Until when a message may be snoozed: later today (while there is so much of it), tomorrow, next week. Next week is
 * Monday; on a Sunday, when that is tomorrow, it is the one after.
 */
export function snoozeMoments(now = new Date()): [SnoozeName, Date][] {
  const at = (days: number, hour: number): Date =>
    new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, hour);
  const moments: [SnoozeName, Date][] = [
    ["later", at(0, now.getHours() + LATER)],
    ["day", at(1, MORNING)],
    ["week", at(8 - now.getDay(), MORNING)],
  ];
  return moments.slice(now.getHours() + LATER < 24 ? 0 : 1);
}
