import type { Api } from "./api.js";
import { ChatLog, type Taken } from "./chat-log.js";
import type { Frame } from "./connection.js";
export interface HistoriesOptions {
    api: Api;
    isOpen(): boolean;
    /** Send a command and wait for its answer. Rejects with `ApiError`. */
    ask(frame: Frame): Promise<Frame>;
    onChange(conversationId: string): void;
}
/** The histories of conversations that were opened, and how they catch up. */
export declare class Histories {
    #private;
    constructor(options: HistoriesOptions);
    /** What is known of a conversation. */
    of(id: string): ChatLog;
    /** The conversations that were opened. */
    get openIds(): string[];
    forget(id: string): void;
    stop(): void;
    /** Begin anew with the newest page. Throws `ApiError`. */
    load(id: string): Promise<void>;
    /** Load the messages before the oldest one that is there. Throws `ApiError`. */
    loadOlder(id: string): Promise<void>;
    /** Change a history; if something is missing before that, ask for it. */
    apply(id: string, change: (log: ChatLog) => Taken): Taken;
    /** The service has told how far a conversation is. */
    compare(id: string, revision: number): void;
    /** Ask for what was missed; without a connection, the next one begins with it. */
    resume(id: string): Promise<void>;
    /** All that was missed has come. */
    resumed(id: string, lastSeq: number, revision: number): void;
}
