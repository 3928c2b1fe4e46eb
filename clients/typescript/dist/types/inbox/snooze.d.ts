export type SnoozeName = "later" | "day" | "week";
/**
 * Until when a message may be snoozed: later today (while there is so much of it), tomorrow, next week. Next week is
 * Monday; on a Sunday, when that is tomorrow, it is the one after.
 */
export declare function snoozeMoments(now?: Date): [SnoozeName, Date][];
