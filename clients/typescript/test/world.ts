import type { ChannelLike, Environment, LocksLike, SocketLike } from "../src/client/environment.js";
import type { Frame } from "../src/client/connection.js";

/** Let everything that is ready happen: all microtasks, and what they make ready. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
}

interface Timer {
  at: number;
  work: () => void;
}

/** Time that passes only when it is told to. */
export class Clock {
  now = 1_000_000;
  readonly #timers = new Map<number, Timer>();
  #last = 0;

  set(work: () => void, milliseconds: number): number {
    this.#timers.set(++this.#last, { at: this.now + Math.max(0, milliseconds), work });
    return this.#last;
  }

  clear(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  /** How long until the next timer is due. */
  get next(): number | undefined {
    const due = [...this.#timers.values()].map(({ at }) => at);
    return due.length ? Math.min(...due) - this.now : undefined;
  }

  async pass(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].work();
      await settle();
    }
    this.now = end;
  }

  /** Hours pass in which nothing runs: what was due is late. */
  async sleep(milliseconds: number): Promise<void> {
    this.now += milliseconds;
    await this.pass(0);
  }
}

/** The client's end of a socket; the test is the service. */
export class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: Frame[] = [];
  isClosed = false;

  constructor(readonly url: string) {}

  send(data: string): void {
    this.sent.push(JSON.parse(data) as Frame);
  }

  close(): void {
    this.isClosed = true;
  }

  /** The service sends a frame. */
  async says(frame: Frame): Promise<void> {
    this.onmessage?.({ data: JSON.stringify(frame) });
    await settle();
  }

  /** The service, or the network, ends it. */
  async ends(code: number, reason = ""): Promise<void> {
    this.isClosed = true;
    this.onclose?.({ code, reason });
    await settle();
  }

  /** The frames of a type that the client sent. */
  all(type: string): Frame[] {
    return this.sent.filter((frame) => frame.type === type);
  }
}

export interface Request {
  method: string;
  path: string;
  token: string;
  body: unknown;
}

/** What a request is answered with; undefined: the network is down. */
export type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | undefined;

/** Locks and channels that the tabs of one browser have in common. */
export class FakeBrowser {
  readonly #queues = new Map<string, (() => void)[]>();
  readonly #held = new Set<string>();
  readonly channels = new Map<string, Set<FakeChannel>>();

  readonly locks: LocksLike = {
    request: (name, { signal }, held) =>
      new Promise((resolve, reject) => {
        const take = (): void => {
          this.#held.add(name);
          void held().then((value) => {
            this.#held.delete(name);
            this.#queues.get(name)?.shift()?.();
            resolve(value);
          });
        };
        if (!this.#held.has(name)) return void Promise.resolve().then(take);
        const queue = this.#queues.get(name) ?? [];
        this.#queues.set(name, queue);
        queue.push(take);
        signal.addEventListener("abort", () => {
          const place = queue.indexOf(take);
          if (place >= 0) queue.splice(place, 1);
          reject(new Error("aborted"));
        });
      }),
  };
}

class FakeChannel implements ChannelLike {
  onmessage: ((event: { data: unknown }) => void) | null = null;

  constructor(private readonly peers: Set<FakeChannel>) {
    peers.add(this);
  }

  postMessage(message: unknown): void {
    const data: unknown = structuredClone(message);
    for (const peer of this.peers) if (peer !== this) void Promise.resolve().then(() => peer.onmessage?.({ data }));
  }

  close(): void {
    this.peers.delete(this);
  }
}

/** One tab: its clock, its sockets, its requests. Random draws are `draw`. */
export class World {
  readonly sockets: FakeSocket[] = [];
  readonly requests: Request[] = [];
  draw = 0.5;
  answer: (request: Request) => Answer = ({ path }) =>
    path.endsWith("/ws-ticket") ? { status: 201, body: { ticket: `t${this.sockets.length + 1}` } } : { status: 200, body: {} };
  #wake: (() => void)[] = [];
  #leave: (() => void)[] = [];

  constructor(
    readonly clock = new Clock(),
    readonly browser: FakeBrowser | undefined = undefined,
  ) {}

  /** The socket that was opened last. */
  get socket(): FakeSocket {
    const socket = this.sockets[this.sockets.length - 1];
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }

  asked(end: string): Request[] {
    return this.requests.filter(({ path }) => path.split("?")[0]?.endsWith(end));
  }

  async wakes(): Promise<void> {
    [...this.#wake].forEach((work) => work());
    await settle();
  }

  async leaves(): Promise<void> {
    [...this.#leave].forEach((work) => work());
    await settle();
  }

  readonly environment: Environment = {
    now: () => this.clock.now,
    setTimeout: (work, milliseconds) => this.clock.set(work, milliseconds),
    clearTimeout: (timer) => this.clock.clear(timer),
    random: () => this.draw,
    fetch: (async (url: string, init: RequestInit) => {
      const { Authorization = "" } = init.headers as Record<string, string>;
      const body: unknown = typeof init.body === "string" ? JSON.parse(init.body) : undefined;
      const path = url.replace("http://service.test", "");
      const request = { method: init.method ?? "GET", path, token: Authorization.replace("Bearer ", ""), body };
      this.requests.push(request);
      await Promise.resolve();
      const answer = this.answer(request);
      if (!answer) throw new TypeError("fetch failed");
      const { status, body: shown, headers = {} } = answer;
      return new Response(status === 204 ? null : JSON.stringify(shown ?? {}), { status, headers });
    }) as typeof fetch,
    openSocket: (url) => {
      const socket = new FakeSocket(url);
      this.sockets.push(socket);
      return socket;
    },
    onWake: (work) => subscribe(this.#wake, work),
    onLeave: (work) => subscribe(this.#leave, work),
    
    locks: undefined,
    openChannel: undefined,
  };

  /** A tab of a browser that has locks and channels. */
  static tab(browser: FakeBrowser, clock: Clock): World {
    const world = new World(clock, browser);
    world.environment.locks = browser.locks;
    world.environment.openChannel = (name) => {
      let peers = browser.channels.get(name);
      if (!peers) browser.channels.set(name, (peers = new Set()));
      return new FakeChannel(peers);
    };
    return world;
  }
}

function subscribe(listeners: (() => void)[], work: () => void): () => void {
  listeners.push(work);
  return () => void listeners.splice(listeners.indexOf(work), 1);
}

export function hello(seq: number, more: object = {}): Frame {
  return { type: "hello", protocol: 1, connection_id: "c1", epoch: "e1", seq, unread: 0, heartbeat_seconds: 25, ...more };
}

/** The n-th message of the stream. */
export function message(seq: number, more: object = {}): Frame {
  const id = `00000000-0000-7000-8000-${String(seq).padStart(12, "0")}`;
  const words = { title: `Message ${seq}`, body: "", category: "", priority: "normal", actions: [] };
  const fields = { ...words, created_at: "2026-11-20T12:00:00Z" };
  const states = { read_at: null, archived_at: null, snoozed_until: null };
  return { type: "notification", seq, unread: seq, id, ...fields, ...states, ...more };
}
