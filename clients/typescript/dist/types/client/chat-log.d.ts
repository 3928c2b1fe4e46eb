import type { ChatMessage, HistoryPage, Reaction } from "./chat-types.js";
/** `applied` · `known`: nothing new · `gap`: something before it is missing, so it was not taken. */
export type Taken = "applied" | "known" | "gap";
/**
 * What is known of one conversation's history: one unbroken piece that ends with its newest message.
 *
 * Every change has a `revision`, without gaps; a change is only taken if it is the next one. So nothing is lost
 * without notice, and nothing is taken twice.
 */
export declare class ChatLog {
    #private;
    messages: readonly ChatMessage[];
    /** Everything up to here is known. */
    revision: number;
    lastSeq: number;
    hasOlder: boolean;
    isLoaded: boolean;
    /** Begin anew with the newest page. */
    reset(page: HistoryPage): void;
    /** Put an older page before what is there. */
    prepend(page: HistoryPage): void;
    /** From now until `resumed` comes what was missed: in order, but not revision by revision. */
    resume(): void;
    resumed(lastSeq: number, revision: number): void;
    /** A new, changed or deleted message. */
    take(message: ChatMessage): Taken;
    /** Somebody put a reaction on a message, or took it back (`present` false). */
    react(messageId: string, userId: string, emoji: string, present: boolean, revision: number): Taken;
    find(messageId: string): ChatMessage | undefined;
}
/** Reactions after somebody has put one or taken one back. */
export declare function reacted(reactions: readonly Reaction[], userId: string, emoji: string, present: boolean): readonly Reaction[];
