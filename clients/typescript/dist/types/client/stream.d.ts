import type { Frame } from "./connection.js";
import type { Environment } from "./environment.js";
import type { Position, StreamFrame } from "./types.js";
export interface StreamOptions {
    environment: Environment;
    /** Names this tab's questions, so that it knows its answers: all tabs see all frames. */
    ref: string;
    /** Whether this tab holds the socket. */
    leads(): boolean;
    send(frame: Frame): void;
    /** The next frame of the stream: each exactly once, in order. */
    apply(frame: StreamFrame): void;
    /** What is known is old: load the list by REST. */
    reload(): void;
}
export interface Stream {
    readonly position: Position | undefined;
    take(frame: Frame): void;
    /** Forget everything: another person, or the end. */
    reset(): void;
}
/**
 * Where we stand in the stream, and how we get what we have missed (docs/live.md). Every tab has one, and feeds it
 * every frame of the shared socket, also those that another tab has asked for: a frame counts if its number is ours
 * plus one, so that each tab applies each frame once, whoever asked.
 */
export declare function makeStream({ environment: env, ref, leads, send, apply, reload }: StreamOptions): Stream;
