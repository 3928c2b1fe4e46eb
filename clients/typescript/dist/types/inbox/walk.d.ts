/**
 * Lead the focus by the keys back, on, Home and End through some elements; past an end it stays, or goes round. Other
 * keys do nothing.
 */
export declare function walk(event: KeyboardEvent, elements: HTMLElement[], [back, on]: [string, string], isRound?: boolean): void;
