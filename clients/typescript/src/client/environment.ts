/** What the client needs of the browser. Tests give a world of their own; everything else takes the real one. */
export interface Environment {
  /** Milliseconds since 1970. */
  now(): number;
  setTimeout(work: () => void, milliseconds: number): unknown;
  clearTimeout(timer: unknown): void;
  /** From 0 up to 1. */
  random(): number;
  fetch: typeof fetch;
  openSocket(url: string): SocketLike;
  /** Call `work` when the page may have been away: back online, visible again, back from the page cache. */
  onWake(work: () => void): () => void;
  /** Call `work` when the page goes away: closed, or into the page cache. */
  onLeave(work: () => void): () => void;
  /** Web Locks, where there are some. */
  locks: LocksLike | undefined;
  /** A channel to other tabs, where there are such. */
  openChannel: ((name: string) => ChannelLike) | undefined;
}

export interface SocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
}

export interface LocksLike {
  request(name: string, options: { signal: AbortSignal }, held: () => Promise<void>): Promise<unknown>;
}

export interface ChannelLike {
  postMessage(message: unknown): void;
  close(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
}

/** Listen to events of the page's window, if there is one. */
function listen(names: readonly string[], work: (event: Event) => void): () => void {
  const end = new AbortController();
  for (const name of names) globalThis.window?.addEventListener(name, work, { signal: end.signal });
  return () => end.abort();
}

/** The page's own. Also runs where there is no page (Node.js 22, workers): then nothing wakes and nothing leaves. */
export function browser(): Environment {
  return {
    now: Date.now,
    setTimeout: (work, milliseconds) => setTimeout(work, milliseconds),
    clearTimeout: (timer) => clearTimeout(timer as number),
    random: Math.random,
    fetch: (...given) => fetch(...given),
    openSocket: (url) => new WebSocket(url) as unknown as SocketLike,
    onWake: (work) =>
      listen(["online", "pageshow", "visibilitychange"], ({ type }) => {
        if (type !== "visibilitychange" || !document.hidden) work();
      }),
    onLeave: (work) => listen(["pagehide"], work),
    locks: globalThis.navigator?.locks as LocksLike | undefined,
    openChannel: globalThis.window && ((name) => new BroadcastChannel(name) as unknown as ChannelLike),
  };
}
