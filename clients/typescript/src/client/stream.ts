import type { Frame } from "./connection.js";
import type { Environment } from "./environment.js";
import type { Position, StreamFrame } from "./types.js";

const STREAM = new Set(["notification", "broadcast", "read", "updated", "removed"]);
/** What is missing usually comes by itself; ask only if it has not come by then. Milliseconds. */
const BEHIND_FOR = 1_000;
const ANSWER_WITHIN = 10_000;

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
export function makeStream({ environment: env, ref, leads, send, apply, reload }: StreamOptions): Stream {
  let at: Position | undefined;
  /** The highest number that the service has named. */
  let top: Position | undefined;
  let asked: unknown;
  let check: unknown;

  const forgetQuestion = (): void => {
    env.clearTimeout(asked);
    asked = undefined;
  };

  const goOn = (): void => {
    forgetQuestion();
    at = top;
    reload();
  };

  const isBehind = (): boolean => !!at && !!top && (at.epoch !== top.epoch || at.seq < top.seq);
  const isThere = (): boolean => at?.epoch === top?.epoch && at?.seq === top?.seq;

  const askIfBehind = (): void => {
    if (check !== undefined || !isBehind()) return;
    check = env.setTimeout(() => {
      check = undefined;
      if (isBehind() && asked === undefined) ask();
    }, BEHIND_FOR);
  };

  const ask = (): void => {
    forgetQuestion();
    asked = env.setTimeout(() => {
      asked = undefined;
      askIfBehind();
    }, ANSWER_WITHIN);
    send({ type: "resume", ...at, ref });
  };

  return {
    get position() {
      return at;
    },
    take(frame) {
      const { type, epoch, seq } = frame as unknown as Position & Frame;
      const isMine = frame["ref"] === ref;
      if (type === "hello" || type === "resync" || type === "resumed" || (type === "ping" && epoch !== undefined)) {
        top = { epoch, seq };
      }
      if (type === "hello") {
        forgetQuestion();
        if (!at) goOn();
        // Only the one who leads asks at once: what it gets is often all that the others lack, too.
        if (leads() && !isThere()) ask();
      } else if (type === "resync") {
        if (isMine || !isThere()) goOn();
      } else if (type === "resumed" && isMine) {
        forgetQuestion();
        if (!isThere()) goOn(); // frames got lost on the way: nothing else is left
      } else if (STREAM.has(type) && at) {
        const { epoch } = at;
        if (seq === at.seq + 1) {
          at = { epoch, seq };
          apply(frame as unknown as StreamFrame);
        }
        if (top?.epoch === epoch && seq > top.seq) top = { epoch, seq };
      }
      askIfBehind();
    },
    reset() {
      forgetQuestion();
      env.clearTimeout(check);
      check = at = top = undefined;
    },
  };
}
