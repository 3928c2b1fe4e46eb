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

/**
 * Where we stand in the stream, and how we get what we have missed (docs/live.md). Every tab has one, and feeds it
 * every frame of the shared socket, also those that another tab has asked for: a frame counts if its number is ours
 * plus one, so that each tab applies each frame once, whoever asked.
 */
export class Stream {
  readonly #options: StreamOptions;
  #at: Position | undefined;
  /** The highest number that the service has named. */
  #top: Position | undefined;
  #asked: unknown;
  #check: unknown;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  get position(): Position | undefined {
    return this.#at;
  }

  take(frame: Frame): void {
    const { epoch, seq, ref } = frame as { epoch?: string; seq?: number; ref?: string };
    const isMine = ref === this.#options.ref;
    switch (frame.type) {
      case "hello":
        this.#forgetQuestion();
        if (!this.#at) this.#goOn({ epoch: epoch as string, seq: seq as number });
        this.#top = { epoch: epoch as string, seq: seq as number };
        // Only the one who leads asks at once: what it gets is often all that the others lack, too.
        if (this.#options.leads() && !same(this.#at, this.#top)) this.#ask();
        break;
      case "resync":
        this.#top = { epoch: epoch as string, seq: seq as number };
        if (isMine || !same(this.#at, this.#top)) this.#goOn(this.#top);
        break;
      case "resumed":
        this.#top = { epoch: epoch as string, seq: seq as number };
        if (isMine) {
          this.#forgetQuestion();
          if (!same(this.#at, this.#top)) this.#goOn(this.#top); // frames got lost on the way: nothing else is left
        }
        break;
      case "ping":
        if (epoch !== undefined && seq !== undefined) this.#top = { epoch, seq };
        break;
      default:
        if (!STREAM.has(frame.type) || !this.#at) return;
        this.#take(frame as unknown as StreamFrame, this.#at);
    }
    this.#askIfBehind();
  }

  /** Forget everything: another person, or the end. */
  reset(): void {
    this.#forgetQuestion();
    this.#options.environment.clearTimeout(this.#check);
    this.#check = this.#at = this.#top = undefined;
  }

  #take(frame: StreamFrame, at: Position): void {
    if (frame.seq === at.seq + 1) {
      this.#at = { epoch: at.epoch, seq: frame.seq };
      this.#options.apply(frame);
    }
    if (this.#top?.epoch === at.epoch && frame.seq > this.#top.seq) this.#top = { epoch: at.epoch, seq: frame.seq };
  }

  #goOn(position: Position): void {
    this.#forgetQuestion();
    this.#at = position;
    this.#options.reload();
  }

  #isBehind(): boolean {
    const [at, top] = [this.#at, this.#top];
    return !!at && !!top && (at.epoch !== top.epoch || at.seq < top.seq);
  }

  #askIfBehind(): void {
    if (this.#check !== undefined || !this.#isBehind()) return;
    this.#check = this.#options.environment.setTimeout(() => {
      this.#check = undefined;
      if (this.#isBehind() && this.#asked === undefined) this.#ask();
    }, BEHIND_FOR);
  }

  #ask(): void {
    if (!this.#at) return;
    const { environment, ref, send } = this.#options;
    this.#forgetQuestion();
    this.#asked = environment.setTimeout(() => {
      this.#asked = undefined;
      this.#askIfBehind();
    }, ANSWER_WITHIN);
    send({ type: "resume", ...this.#at, ref });
  }

  #forgetQuestion(): void {
    this.#options.environment.clearTimeout(this.#asked);
    this.#asked = undefined;
  }
}

function same(one: Position | undefined, other: Position): boolean {
  return one?.epoch === other.epoch && one.seq === other.seq;
}
