import { ApiError, type Api } from "./api.js";
import { Backoff } from "./backoff.js";
import type { Environment, SocketLike } from "./environment.js";

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

const GREETING_WITHIN = 15_000;
const PROBE_WITHIN = 5_000;
/** A connection that has lasted so long was a good one: the next failure is the first again. */
const STEADY_AFTER = 10_000;
const DEFAULT_HEARTBEAT = 25_000;
/** Seconds to wait after 4429 if it does not say. */
const DEFAULT_WAIT = 30;
const TOO_MANY = 4429;
const NOT_AUTHENTICATED = 4401;
/** Forbidden, no such address: the same question gets the same answer. */
const FINAL = new Set([4403, 4404]);

/**
 * A socket that stays: it gets a one-time ticket, connects, notices when nothing is heard any more, and connects
 * again, until `stop()`. What frames mean is its user's business; it only answers `ping`.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #env: Environment;
  readonly #backoff: Backoff;
  #status: ConnectionStatus = "idle";
  #socket: SocketLike | undefined;
  /** Grows with each attempt, so that answers to an earlier one are recognised and dropped. */
  #attempt = 0;
  #timer: unknown;
  #steadyTimer: unknown;
  #heardAt = 0;
  #heartbeat = DEFAULT_HEARTBEAT;
  /** The service said: not before then. */
  #notBefore = 0;
  #hasNewToken = false;
  #stopListening: (() => void) | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#env = options.api.environment;
    this.#backoff = new Backoff(this.#env.random);
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** Connect, and stay connected. Does nothing while it is at it; begins anew after `refused`. */
  start(): void {
    if (this.#status === "connecting" || this.#status === "open" || this.#status === "waiting") return;
    this.#stopListening ??= this.#env.onWake(() => this.wake());
    this.#backoff.reset();
    this.#hasNewToken = false;
    void this.#connect();
  }

  /** Close, and stay closed. */
  stop(): void {
    this.#end("idle", "");
  }

  /** Send a frame. False if there is no open connection: then it is gone. */
  send(frame: Frame): boolean {
    if (this.#status !== "open") return false;
    this.#write(frame);
    return true;
  }

  /** The page may have slept: do not wait any longer, and ask an open socket whether it still lives. */
  wake(): void {
    if (this.#status === "waiting") {
      this.#backoff.reset();
      this.#wait(Math.max(this.#env.random() * 250, this.#notBefore - this.#env.now()));
    } else if (this.#status === "open") {
      this.#probe();
    }
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    const { api, path } = this.#options;
    this.#set("connecting", "");
    this.#schedule(GREETING_WITHIN, () => this.#lost(1006, "no_greeting: The service did not answer in time."));
    try {
      const { ticket } = await api.request<{ ticket: string }>("POST", "/api/v1/auth/ws-ticket");
      if (attempt === this.#attempt) this.#open(api.socketUrl(path, ticket), attempt);
    } catch (error) {
      if (attempt === this.#attempt) this.#noTicket(error);
    }
  }

  #noTicket(error: unknown): void {
    const { status, code, detail, retryAfter } =
      error instanceof ApiError ? error : new ApiError(0, "error", error instanceof Error ? error.message : String(error));
    const reason = `${code}: ${detail}`;
    if (status === 401) return this.#options.api.canRefresh ? this.#retry(reason) : this.#end("unauthenticated", reason);
    if (status === 403) return this.#end("refused", reason);
    this.#retry(reason, (retryAfter ?? 0) * 1000);
  }

  #open(url: string, attempt: number): void {
    const socket = this.#env.openSocket(url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (attempt === this.#attempt) this.#take(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (attempt === this.#attempt) this.#lost(code, reason);
    };
  }

  #take(data: unknown): void {
    this.#heardAt = this.#env.now();
    const frame = decoded(data);
    if (!frame) return;
    if (frame.type === this.#options.greeting) this.#greeted(frame);
    if (frame.type === "ping") this.#write({ type: "pong" });
    this.#options.onFrame(frame);
  }

  #greeted(frame: Frame): void {
    const seconds = frame["heartbeat_seconds"];
    this.#heartbeat = typeof seconds === "number" && seconds > 0 ? seconds * 1000 : DEFAULT_HEARTBEAT;
    this.#notBefore = 0;
    this.#steadyTimer = this.#env.setTimeout(() => {
      this.#backoff.reset();
      this.#hasNewToken = false;
    }, STEADY_AFTER);
    this.#watch();
    this.#set("open", "");
  }

  /** Two and a half heartbeats of silence: it is dead, whatever the network says. Sleep looks like silence, too. */
  #watch(): void {
    const silent = this.#env.now() - this.#heardAt;
    if (silent >= this.#heartbeat * 2.5) return this.#lost(1006, "silence: Nothing was heard any more.");
    this.#schedule(this.#heartbeat * 2.5 - silent, () => this.#watch());
  }

  #probe(): void {
    const asked = this.#env.now();
    this.#write({ type: "ping" });
    this.#schedule(PROBE_WITHIN, () => {
      if (this.#heardAt < asked) this.#lost(1006, "silence: Nothing was heard any more.");
      else this.#watch();
    });
  }

  /** The socket has closed, or is taken for dead. */
  #lost(code: number, reason: string): void {
    this.#drop();
    if (FINAL.has(code)) return this.#end("refused", reason);
    if (code === NOT_AUTHENTICATED && !reason.startsWith("ticket_")) return void this.#authenticateAgain(reason);
    this.#retry(reason, code === TOO_MANY ? waitIn(reason) * 1000 : 0);
  }

  /** At once with a new token; if that is refused as well, like any other failure. */
  async #authenticateAgain(reason: string): Promise<void> {
    const { api } = this.#options;
    if (!api.canRefresh) return this.#end("unauthenticated", reason);
    const attempt = this.#attempt;
    this.#set("connecting", reason);
    const isFirst = !this.#hasNewToken;
    this.#hasNewToken = true;
    const refreshed = await api
      .currentToken()
      .then((token) => api.refreshedToken(token))
      .catch(() => undefined);
    if (attempt !== this.#attempt) return;
    if (refreshed !== undefined && isFirst) void this.#connect();
    else this.#retry(reason);
  }

  /** Try again after a while, and not before `atLeast` milliseconds. */
  #retry(reason: string, atLeast = 0): void {
    this.#drop();
    this.#notBefore = this.#env.now() + atLeast;
    this.#set("waiting", reason);
    this.#wait(atLeast + this.#backoff.next());
  }

  #wait(milliseconds: number): void {
    this.#schedule(milliseconds, () => void this.#connect());
  }

  #end(status: ConnectionStatus, reason: string): void {
    this.#drop();
    this.#stopListening?.();
    this.#stopListening = undefined;
    this.#set(status, reason);
  }

  /** Let go of the socket and of every timer; nothing that still comes of them counts. */
  #drop(): void {
    this.#attempt++;
    this.#env.clearTimeout(this.#timer);
    this.#env.clearTimeout(this.#steadyTimer);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  #schedule(milliseconds: number, work: () => void): void {
    this.#env.clearTimeout(this.#timer);
    this.#timer = this.#env.setTimeout(work, milliseconds);
  }

  #write(frame: Frame): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  #set(status: ConnectionStatus, reason: string): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#options.onStatus(status, reason);
  }
}

function decoded(data: unknown): Frame | undefined {
  try {
    const frame = JSON.parse(String(data)) as Frame | null;
    return typeof frame?.type === "string" ? frame : undefined;
  } catch {
    return undefined;
  }
}

function waitIn(reason: string): number {
  return Number(/retry_after=(\d+)/.exec(reason)?.[1] ?? DEFAULT_WAIT);
}
