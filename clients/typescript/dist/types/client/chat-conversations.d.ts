import type { Api } from "./api.js";
import type { ChatMessage, Conversation } from "./chat-types.js";
export declare const CHAT = "/api/notifications/chat";
/** The conversations of one person, the newest first, as the list shows them. */
export declare class Conversations {
    #private;
    all: readonly Conversation[];
    hasLoaded: boolean;
    constructor(api: Api, onChange: () => void);
    find(id: string): Conversation | undefined;
    /** Load the newest, at most 50. Throws `ApiError`. */
    load(): Promise<readonly Conversation[]>;
    /** Load one anew. Throws `ApiError`. */
    fetch(id: string): Promise<Conversation>;
    /** The direct conversation with somebody, made if there is none. Throws `ApiError`. */
    direct(userId: string): Promise<Conversation>;
    put(conversation: Conversation): void;
    remove(id: string): void;
    /** Something new was said, by us if `isOwn`. False if it was known, or its conversation is not. */
    said(message: ChatMessage, isOwn: boolean): boolean;
    /** A message has changed: perhaps it is the one that the list shows. */
    changed(message: ChatMessage): void;
    /** We have read up to there. */
    read(id: string, seq: number): void;
}
