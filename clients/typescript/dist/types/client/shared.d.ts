import { type ConnectionOptions, type ConnectionStatus, type Frame } from "./connection.js";
export interface SharedConnectionOptions extends ConnectionOptions {
    /** False: this tab keeps a socket of its own. A text: the name under which tabs share; else the token says it. */
    share: boolean | string;
    /** The greeting as the service would say it now, for a tab that comes later. */
    greetingForOthers(): Frame | undefined;
}
export interface SharedConnection {
    readonly status: ConnectionStatus;
    /** Whether the socket is this tab's. */
    readonly leads: boolean;
    /** Connect, and stay connected; tries again if that was given up. */
    start(): void;
    stop(): void;
    /** Another token is in use: go on with it, unless it stands for somebody else. True if it does. */
    changedBearer(): Promise<boolean>;
    /** Send a frame, or let the tab send it that leads. It may get lost, as on any connection. */
    send(frame: Frame): void;
}
/**
 * One `Connection` for all tabs of a browser: the tab that leads holds it, shows every frame to all, and sends for
 * them. When it goes, the next one connects; what was missed meanwhile is the business of its user.
 */
export declare function shareConnection(options: SharedConnectionOptions): SharedConnection;
