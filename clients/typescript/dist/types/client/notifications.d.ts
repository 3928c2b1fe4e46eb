import type { ApiOptions, TokenSource } from "./api.js";
import type { ConnectionStatus } from "./connection.js";
import { NotificationApi } from "./rest.js";
import type { MessageFrame, Position, PresenceFrame, ProgressFrame, ReadFrame, RemovedFrame, StreamFrame, Topic, UpdatedFrame } from "./types.js";
export interface NotificationClientOptions extends ApiOptions {
    /**
     * Whether tabs share one socket (true). They do if their tokens have the same claims but for their times; a text
     * names who shares instead.
     */
    share?: boolean | string;
}
export interface StatusEvent {
    readonly status: ConnectionStatus;
    /** The service's reason: a code, a colon, words for people. Often empty. */
    readonly reason: string;
}
export interface NotificationEvents {
    status: StatusEvent;
    /** How many messages are unread. */
    unread: number;
    /** A new message, or one whose snooze is over; broadcasts, too. */
    message: MessageFrame;
    read: ReadFrame;
    updated: UpdatedFrame;
    removed: RemovedFrame;
    /** Each of the four above. */
    change: StreamFrame;
    /** The start, or too much was missed: load the list anew. */
    reload: void;
    progress: ProgressFrame;
    presence: PresenceFrame;
}
/**
 * One's own messages: over REST, and live. After `start()` every change arrives exactly once and in order, over
 * restarts of the service, sleep and lost networks, in every tab.
 *
 *     const client = new NotificationClient({ token: async ({ refresh }) => session.token(refresh) });
 *     client.on("message", (message) => console.log(message.title));
 *     client.start();
 */
export declare class NotificationClient extends NotificationApi {
    #private;
    constructor(options: NotificationClientOptions);
    /** Listen to an event; the function that comes back ends it. */
    on<Name extends keyof NotificationEvents>(name: Name, listener: (event: NotificationEvents[Name]) => void): () => void;
    /** Be live; also: try again after `refused` or `unauthenticated`. */
    start(): void;
    /** Be live no longer. `start()` resumes: what was missed comes then. */
    stop(): void;
    get status(): ConnectionStatus;
    /** How many messages are unread, as far as we have heard. */
    get unread(): number | undefined;
    /** Fetch it; where frames bring it, theirs is the newer one. */
    unreadCount(): Promise<number>;
    /** The number of the last change that was processed. */
    get position(): Position | undefined;
    /** Whether it is this tab that holds the socket. */
    get holdsSocket(): boolean;
    /** Use another token from now on. If it is somebody else's, everything begins anew. */
    setToken(token: TokenSource): Promise<void>;
    /**
     * Follow a topic: `progress` (needs `campaigns:read`) or `presence` (needs `users:read`). The function that comes
     * back ends it for this tab; the socket, which may be other tabs' as well, goes on until it closes.
     */
    follow<T extends Topic>(topic: T, listener: (frame: NotificationEvents[T]) => void): () => void;
}
