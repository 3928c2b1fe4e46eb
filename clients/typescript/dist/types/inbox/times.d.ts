/** How a language says when something was, or will be. */
export interface Times {
    /** “3 min ago”, “yesterday”. Moments that are a few seconds ahead, by another clock, are now. */
    ago(moment: Date): string;
    /** “tomorrow”, “next week”. */
    next(unit: "day" | "week"): string;
    /** Day and time in full. */
    full(moment: Date): string;
    /** A moment to come: “6:00 PM” of today, “Tue 8:00 AM”, from next week on with its date. */
    soon(moment: Date): string;
}
export declare function makeTimes(tag: string): Times;
