/** How a language says when something was. */
export declare class Times {
    #private;
    constructor(tag: string);
    /** “3 min ago”, “yesterday”. Moments that are a few seconds ahead, by another clock, are now. */
    ago(moment: Date, now?: number): string;
    /** Day and time in full. */
    moment(moment: Date): string;
}
