import type { Shown } from "./message.js";
import type { Context } from "./parts.js";
/** What stands in a conversation, from top to bottom: messages, days, and where the new ones begin. */
export type Entry = {
    readonly kind: "message";
    readonly key: string;
    readonly shown: Shown;
} | {
    readonly kind: "day" | "fresh";
    readonly key: string;
    readonly text: string;
};
/** Arrange the messages of a conversation. `freshFrom` is the number of the first unread one, when it was opened. */
export declare function grouped(context: Context, id: string, freshFrom: number): Entry[];
