import { type Api } from "./api.js";
import type { ChatMessage, Draft, Outgoing } from "./chat-types.js";
import type { Frame } from "./connection.js";
export interface OutboxOptions {
    api: Api;
    /** Whether there is a connection. */
    isOpen(): boolean;
    /** Send a command over the socket; resolves with its answer. Rejects with `ApiError` (status 0: no connection). */
    ask(frame: Frame): Promise<Frame>;
    onChange(conversationId: string): void;
    onSent(message: ChatMessage): void;
}
/**
 * Messages of ours on their way, each conversation's one after the other. One that got no answer is sent again with
 * the same id, which the service recognises; so it arrives once, however often the connection breaks.
 */
export declare class Outbox {
    #private;
    constructor(options: OutboxOptions);
    of(conversationId: string): Outgoing[];
    add(conversationId: string, draft: Draft): Outgoing;
    /** Try one that failed again. */
    retry(clientMessageId: string): void;
    /** Give one up: one that failed, or that the conversation has now. */
    remove(clientMessageId: string): void;
    /** There is a connection (again): send what waits. */
    flush(): void;
    stop(): void;
}
