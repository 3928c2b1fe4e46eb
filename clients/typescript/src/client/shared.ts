import { Backoff } from "./backoff.js";
import { Connection, type ConnectionOptions, type ConnectionStatus, type Frame } from "./connection.js";
import { Tabs, nameOfBearer } from "./tabs.js";

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

/**
 * One `Connection` for all tabs of a browser: the tab that leads holds it, shows every frame to all, and sends for
 * them. When it goes, the next one connects; what was missed meanwhile is the business of `Stream`.
 */
export class SharedConnection {
  readonly #options: SharedConnectionOptions;
  readonly #backoff: Backoff;
  #connection: Connection | undefined;
  #tabs: Tabs<Signal> | undefined;
  #status: ConnectionStatus = "idle";
  #name: string | undefined;
  #isAway = false;
  /** Grows with each start and stop, so that what began before is recognised. */
  #run = 0;
  #timer: unknown;
  #stopListening: (() => void)[] = [];

  constructor(options: SharedConnectionOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.api.environment.random);
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** Whether the socket is this tab's. */
  get leads(): boolean {
    return this.#tabs?.leads ?? false;
  }

  /** Connect, and stay connected; tries again if that was given up. */
  start(): void {
    if (this.#status !== "idle" && !FINAL.has(this.#status)) return;
    const { environment } = this.#options.api;
    if (!this.#stopListening.length) {
      this.#stopListening = [environment.onWake(() => this.#wake()), environment.onLeave(() => this.#leave())];
    }
    this.#set("connecting", "");
    void this.#begin(++this.#run);
  }

  stop(): void {
    this.#run++;
    for (const stop of this.#stopListening.splice(0)) stop();
    this.#leave();
    this.#isAway = false;
    this.#set("idle", "");
  }

  /** Another token is in use: go on with it, unless it stands for somebody else. True if it does. */
  async changedBearer(): Promise<boolean> {
    if (this.#status === "idle") return false;
    const name = await this.#nameOfUs().catch(() => undefined);
    const isOther = this.#name !== undefined && name !== undefined && name !== this.#name;
    if (isOther) this.stop();
    else this.start(); // if it was given up
    return isOther;
  }

  /** Send a frame, or let the tab send it that leads. It may get lost, as on any connection. */
  send(frame: Frame): void {
    if (this.leads) this.#connection?.send(frame);
    else this.#tabs?.post({ kind: "send", frame });
  }

  async #begin(run: number): Promise<void> {
    try {
      this.#name = await this.#nameOfUs();
    } catch (error) {
      if (run !== this.#run) return;
      this.#set("waiting", `no_token: ${error instanceof Error ? error.message : String(error)}`);
      this.#timer = this.#options.api.environment.setTimeout(() => void this.#begin(run), this.#backoff.next());
      return;
    }
    if (run === this.#run) this.#join(this.#name);
  }

  async #nameOfUs(): Promise<string> {
    const { api, path, share } = this.#options;
    const who = typeof share === "string" ? share : nameOfBearer(await api.currentToken());
    return ["notifications.v1", api.baseUrl, path, who].join(" ");
  }

  #join(name: string): void {
    const { api, share } = this.#options;
    const world = share === false ? { ...api.environment, locks: undefined, openChannel: undefined } : api.environment;
    this.#tabs ??= new Tabs<Signal>(world, name, {
      onLead: () => this.#lead(),
      onMessage: (signal) => this.#hear(signal),
    });
    this.#tabs.join();
    this.#tabs.post({ kind: "join" });
  }

  #lead(): void {
    this.#connection ??= new Connection({
      ...this.#options,
      onFrame: (frame) => {
        this.#tabs?.post({ kind: "frame", frame });
        this.#options.onFrame(frame);
      },
      onStatus: (status, reason) => this.#led(status, reason),
    });
    this.#connection.start();
  }

  /** What became of our own connection. What ends it here may not end it elsewhere: let another tab try. */
  #led(status: ConnectionStatus, reason: string): void {
    if (status === "idle") return;
    if (FINAL.has(status)) this.#tabs?.stepDown();
    else this.#tabs?.post({ kind: "status", status, reason });
    this.#set(status, reason);
  }

  #hear(signal: Signal): void {
    if (this.leads) {
      if (signal.kind === "join") this.#welcome();
      if (signal.kind === "wake") this.#connection?.wake();
      if (signal.kind === "send") this.#connection?.send(signal.frame);
    } else if (signal.kind === "frame") {
      this.#options.onFrame(signal.frame);
    } else if (signal.kind === "status") {
      if (FINAL.has(this.#status)) {
        if (signal.status !== "open") return; // they may yet fail as we did
        this.#tabs?.join(); // somebody has taken over from us: queue up behind them
      }
      this.#set(signal.status, signal.reason);
    }
  }

  /** Tell a tab that has just come how things are. The others know it already, and take no harm. */
  #welcome(): void {
    this.#tabs?.post({ kind: "status", status: this.#status, reason: "" });
    const greeting = this.#status === "open" ? this.#options.greetingForOthers() : undefined;
    if (greeting) this.#tabs?.post({ kind: "frame", frame: greeting });
  }

  #wake(): void {
    if (this.#isAway) {
      this.#isAway = false;
      this.#set("connecting", "");
      void this.#begin(++this.#run);
    } else if (!this.leads) {
      this.#tabs?.post({ kind: "wake" });
    }
  }

  /** The page goes, perhaps for good: another tab shall take over at once. */
  #leave(): void {
    this.#isAway = true;
    this.#run++;
    this.#options.api.environment.clearTimeout(this.#timer);
    this.#connection?.stop();
    this.#connection = undefined;
    this.#tabs?.leave();
    this.#tabs = undefined;
  }

  #set(status: ConnectionStatus, reason: string): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#options.onStatus(status, reason);
  }
}
