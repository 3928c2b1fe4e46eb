import { ApiError, type Api } from "./api.js";
import { Backoff } from "./backoff.js";
import type { SocketLike } from "./environment.js";

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

const SILENCE = "silence: Nothing was heard any more.";

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
export function makeConnection({ api, path, greeting, onFrame, onStatus }: ConnectionOptions): Connection {
  const env = api.environment;
  const backoff = new Backoff(env.random);
  let status: ConnectionStatus = "idle";
  let socket: SocketLike | undefined;
  /** Grows with each attempt, so that answers to an earlier one are recognised and dropped. */
  let attempt = 0;
  let timer: unknown;
  let steadyTimer: unknown;
  let heardAt = 0;
  let heartbeat = DEFAULT_HEARTBEAT;
  /** The service said: not before then. */
  let notBefore = 0;
  let hasNewToken = false;
  let stopListening: (() => void) | undefined;

  const set = (next: ConnectionStatus, reason = ""): void => {
    if (status === next) return;
    status = next;
    onStatus(next, reason);
  };

  const schedule = (milliseconds: number, work: () => void): void => {
    env.clearTimeout(timer);
    timer = env.setTimeout(work, milliseconds);
  };

  const write = (frame: Frame): void => socket?.send(JSON.stringify(frame));

  /** Let go of the socket and of every timer; nothing that still comes of them counts. */
  const drop = (): void => {
    attempt++;
    env.clearTimeout(timer);
    env.clearTimeout(steadyTimer);
    socket?.close(1000);
    socket = undefined;
  };

  const end = (next: ConnectionStatus, reason = ""): void => {
    drop();
    stopListening?.();
    stopListening = undefined;
    set(next, reason);
  };

  const connect = async (): Promise<void> => {
    const mine = ++attempt;
    set("connecting");
    schedule(GREETING_WITHIN, () => lost(1006, "no_greeting: The service did not answer in time."));
    try {
      const { ticket } = await api.request<{ ticket: string }>("POST", "/api/v1/auth/ws-ticket");
      if (mine !== attempt) return;
      socket = env.openSocket(api.socketUrl(path, ticket));
      socket.onmessage = ({ data }) => {
        if (mine === attempt) take(data);
      };
      socket.onclose = ({ code, reason }) => {
        if (mine === attempt) lost(code, reason);
      };
    } catch (error) {
      if (mine === attempt) noTicket(ApiError.from(error));
    }
  };

  const noTicket = ({ status, code, detail, retryAfter = 0 }: ApiError): void => {
    const reason = `${code}: ${detail}`;
    if (status === 401 && !api.canRefresh) end("unauthenticated", reason);
    else if (status === 403) end("refused", reason);
    else retry(reason, retryAfter * 1000);
  };

  const take = (data: unknown): void => {
    heardAt = env.now();
    const frame = decoded(data);
    if (!frame) return;
    if (frame.type === greeting) greeted(Number(frame["heartbeat_seconds"]) * 1000);
    if (frame.type === "ping") write({ type: "pong" });
    onFrame(frame);
  };

  const greeted = (milliseconds: number): void => {
    heartbeat = milliseconds > 0 ? milliseconds : DEFAULT_HEARTBEAT;
    notBefore = 0;
    steadyTimer = env.setTimeout(() => {
      backoff.reset();
      hasNewToken = false;
    }, STEADY_AFTER);
    watch();
    set("open");
  };

  /** Two and a half heartbeats of silence: it is dead, whatever the network says. Sleep looks like silence, too. */
  const watch = (): void => {
    const left = heartbeat * 2.5 - (env.now() - heardAt);
    if (left > 0) schedule(left, watch);
    else lost(1006, SILENCE);
  };

  /** The socket has closed, or is taken for dead. */
  const lost = (code: number, reason: string): void => {
    drop();
    if (FINAL.has(code)) end("refused", reason);
    else if (code === NOT_AUTHENTICATED && !reason.startsWith("ticket_")) void authenticateAgain(reason);
    else retry(reason, code === TOO_MANY ? waitIn(reason) * 1000 : 0);
  };

  /** At once with a new token; if that is refused as well, like any other failure. */
  const authenticateAgain = async (reason: string): Promise<void> => {
    if (!api.canRefresh) return end("unauthenticated", reason);
    const mine = attempt;
    const isFirst = !hasNewToken;
    set("connecting", reason);
    hasNewToken = true;
    const refreshed = await api
      .currentToken()
      .then((token) => api.refreshedToken(token))
      .catch(() => undefined);
    if (mine !== attempt) return;
    if (refreshed !== undefined && isFirst) void connect();
    else retry(reason);
  };

  /** Try again after a while, and not before `atLeast` milliseconds. */
  const retry = (reason: string, atLeast = 0): void => {
    drop();
    notBefore = env.now() + atLeast;
    set("waiting", reason);
    schedule(atLeast + backoff.next(), connect);
  };

  const connection: Connection = {
    get status() {
      return status;
    },
    start() {
      if (status === "connecting" || status === "open" || status === "waiting") return;
      stopListening ??= env.onWake(connection.wake);
      backoff.reset();
      hasNewToken = false;
      void connect();
    },
    stop() {
      end("idle");
    },
    send(frame) {
      if (status === "open") write(frame);
      return status === "open";
    },
    wake() {
      if (status === "waiting") {
        backoff.reset();
        schedule(Math.max(env.random() * 250, notBefore - env.now()), connect);
      } else if (status === "open") {
        const asked = env.now();
        write({ type: "ping" });
        schedule(PROBE_WITHIN, () => (heardAt < asked ? lost(1006, SILENCE) : watch()));
      }
    },
  };
  return connection;
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
