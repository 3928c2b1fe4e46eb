import { ApiError } from "./api.js";
import { Backoff } from "./backoff.js";
import {
  makeConnection,
  type Connection,
  type ConnectionOptions,
  type ConnectionStatus,
  type Frame,
} from "./connection.js";
import { makeTabs, nameOfBearer, type Tabs } from "./tabs.js";

export interface SharedConnectionOptions extends ConnectionOptions {
  /** False: this tab keeps a socket of its own. A text: the name under which tabs share; else the token says it. */
  share: boolean | string;
  /** The greeting as the service would say it now, for a tab that comes later. */
  greetingForOthers(): Frame | undefined;
}

/** What tabs say to each other. */
type Signal =
  | { kind: "join" }
  | { kind: "wake" }
  | { kind: "send"; frame: Frame }
  | { kind: "frame"; frame: Frame }
  | { kind: "status"; status: ConnectionStatus; reason: string };

/** Nothing more comes of these by itself. */
const FINAL = new Set<ConnectionStatus>(["unauthenticated", "refused"]);

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
export function shareConnection(options: SharedConnectionOptions): SharedConnection {
  const { api, path, share, onFrame, onStatus, greetingForOthers } = options;
  const env = api.environment;
  const backoff = new Backoff(env.random);
  let connection: Connection | undefined;
  let tabs: Tabs<Signal> | undefined;
  let status: ConnectionStatus = "idle";
  let name: string | undefined;
  let isAway = false;
  /** Grows with each start and stop, so that what began before is recognised. */
  let run = 0;
  let timer: unknown;
  let stopListening: (() => void)[] = [];

  const set = (next: ConnectionStatus, reason = ""): void => {
    if (status === next) return;
    status = next;
    onStatus(next, reason);
  };

  const nameOfUs = async (): Promise<string> => {
    const who = typeof share === "string" ? share : nameOfBearer(await api.currentToken());
    return ["notifications.v1", api.baseUrl, path, who].join(" ");
  };

  const begin = async (): Promise<void> => {
    const mine = ++run;
    set("connecting");
    try {
      const found = await nameOfUs();
      if (mine === run) join((name = found));
    } catch (error) {
      if (mine !== run) return;
      set("waiting", `no_token: ${ApiError.from(error).detail}`);
      timer = env.setTimeout(begin, backoff.next());
    }
  };

  const join = (name: string): void => {
    const world = share === false ? { ...env, locks: undefined } : env;
    tabs ??= makeTabs<Signal>(world, name, { onLead: lead, onMessage: hear });
    tabs.join();
    tabs.post({ kind: "join" });
  };

  const lead = (): void => {
    connection ??= makeConnection({
      ...options,
      onFrame: (frame) => {
        tabs?.post({ kind: "frame", frame });
        onFrame(frame);
      },
      onStatus: led,
    });
    connection.start();
  };

  /** What became of our own connection. What ends it here may not end it elsewhere: let another tab try. */
  const led = (next: ConnectionStatus, reason: string): void => {
    if (next === "idle") return;
    if (FINAL.has(next)) tabs?.stepDown();
    else tabs?.post({ kind: "status", status: next, reason });
    set(next, reason);
  };

  const hear = (signal: Signal): void => {
    if (tabs?.leads) {
      if (signal.kind === "join") welcome();
      if (signal.kind === "wake") connection?.wake();
      if (signal.kind === "send") connection?.send(signal.frame);
    } else if (signal.kind === "frame") {
      onFrame(signal.frame);
    } else if (signal.kind === "status") {
      if (FINAL.has(status)) {
        if (signal.status !== "open") return; // they may yet fail as we did
        tabs?.join(); // somebody has taken over from us: queue up behind them
      }
      set(signal.status, signal.reason);
    }
  };

  /** Tell a tab that has just come how things are. The others know it already, and take no harm. */
  const welcome = (): void => {
    tabs?.post({ kind: "status", status, reason: "" });
    const frame = status === "open" && greetingForOthers();
    if (frame) tabs?.post({ kind: "frame", frame });
  };

  const wake = (): void => {
    if (isAway) {
      isAway = false;
      void begin();
    } else if (!tabs?.leads) {
      tabs?.post({ kind: "wake" });
    }
  };

  /** The page goes, perhaps for good: another tab shall take over at once. */
  const leave = (): void => {
    isAway = true;
    run++;
    env.clearTimeout(timer);
    connection?.stop();
    tabs?.leave();
    connection = tabs = undefined;
  };

  const shared: SharedConnection = {
    get status() {
      return status;
    },
    get leads() {
      return tabs?.leads ?? false;
    },
    start() {
      if (status !== "idle" && !FINAL.has(status)) return;
      if (!stopListening.length) stopListening = [env.onWake(wake), env.onLeave(leave)];
      void begin();
    },
    stop() {
      for (const stop of stopListening.splice(0)) stop();
      leave();
      isAway = false;
      set("idle");
    },
    async changedBearer() {
      if (status === "idle") return false;
      const next = await nameOfUs().catch(() => name);
      const isOther = name !== undefined && next !== name;
      if (isOther) shared.stop();
      else shared.start(); // if it was given up
      return isOther;
    },
    send(frame) {
      if (tabs?.leads) connection?.send(frame);
      else tabs?.post({ kind: "send", frame });
    },
  };
  return shared;
}
