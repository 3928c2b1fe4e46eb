import type { Frame } from "./connection.js";
import type { Environment } from "./environment.js";
/** Commands over a socket, each with the answer that carries its `ref`. */
export declare class Commands {
    #private;
    constructor(environment: Environment, send: (frame: Frame) => boolean);
    /** Send a command and wait for its answer. Rejects with `ApiError`; of status 0 if there is no connection. */
    ask(frame: Frame): Promise<Frame>;
    /** Whether a frame answers a question of ours. */
    isMine(frame: Frame): boolean;
    /** A frame has come: perhaps somebody waits for it. */
    take(frame: Frame): void;
    /** The connection is lost: nobody will answer any more. */
    lost(): void;
}
