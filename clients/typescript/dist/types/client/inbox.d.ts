import { ApiError } from "./api.js";
import type { NotificationClient } from "./notifications.js";
import type { Message } from "./types.js";
/** `all` is what is neither archived nor snoozed. */
export type View = "all" | "unread" | "snoozed" | "archived";
export interface InboxState {
    readonly view: View;
    /** Of the view, the newest first, as far as loaded. */
    readonly messages: readonly Message[];
    /** Undefined until it is known. */
    readonly unread: number | undefined;
    /** `first`: there is nothing to show yet. */
    readonly loading: "no" | "first" | "more";
    /** Why loading failed. */
    readonly error: ApiError | undefined;
    readonly hasMore: boolean;
}
interface InboxEvents {
    /** A new state. */
    change: InboxState;
    /** A change of one's own could not be made. */
    failed: ApiError;
}
/**
 * The list of messages, kept as the service has it: pages are loaded on demand, every change that arrives is applied,
 * one's own changes show at once and are taken back if they fail. Looks are somebody else's business.
 */
export declare class Inbox {
    #private;
    readonly client: NotificationClient;
    constructor(client: NotificationClient, { pageSize }?: {
        pageSize?: number | undefined;
    });
    on<Name extends keyof InboxEvents>(name: Name, listener: (event: InboxEvents[Name]) => void): () => void;
    get state(): InboxState;
    /** Stop listening and loading. */
    end(): void;
    show(view: View): void;
    /** Have the list from now on. While it is live it is right already, else it is loaded anew. */
    open(): void;
    /** Load the first page anew; what is shown stays until it is there. */
    reload(): void;
    loadMore(): void;
    /** Mark a message as read or unread. */
    setRead(message: Message, read?: boolean): Promise<void>;
    setArchived(message: Message, archived?: boolean): Promise<void>;
    /** Hide a message until then; null brings it back now. */
    snooze(message: Message, until: Date | null): Promise<void>;
    delete(message: Message): Promise<void>;
    markAllRead(): Promise<void>;
}
export {};
