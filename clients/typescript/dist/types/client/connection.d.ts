import { type Api } from "./api.js";
/**
 * `idle` before the start and after the end · `connecting` · `open` once the service has greeted · `waiting` for the
 * next attempt · `unauthenticated`: the token is refused and there is no newer one · `refused`: trying again is no use.
 */
export type ConnectionStatus = "idle" | "connecting" | "open" | "waiting" | "unauthenticated" | "refused";
/** Any frame of either socket. */
export interface Frame {
    readonly type: string;
    readonly [field: string]: unknown;
}
export interface ConnectionOptions {
    api: Api;
    /** For example `/ws/notifications/`. */
    path: string;
    /** Type of the frame that greets whom the service lets in; it may carry `heartbeat_seconds`. */
    greeting: string;
    onFrame(frame: Frame): void;
    /** `reason` is the service's, where it gave one: a code, a colon, words for people. */
    onStatus(status: ConnectionStatus, reason: string): void;
}
export interface Connection {
    readonly status: ConnectionStatus;
    /** Connect, and stay connected. Does nothing while it is at it; begins anew after `refused`. */
    start(): void;
    /** Close, and stay closed. */
    stop(): void;
    /** Send a frame. False if there is no open connection: then it is gone. */
    send(frame: Frame): boolean;
    /** The page may have slept: do not wait any longer, and ask an open socket whether it still lives. */
    wake(): void;
}
/**
 * A socket that stays: it gets a one-time ticket, connects, notices when nothing is heard any more, and connects
 * again, until `stop()`. What frames mean is its user's business; it only answers `ping`.
 */
export declare function makeConnection({ api, path, greeting, onFrame, onStatus }: ConnectionOptions): Connection;
