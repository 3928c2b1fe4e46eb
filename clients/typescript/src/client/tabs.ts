import type { ChannelLike, Environment } from "./environment.js";

export interface TabsOptions<Message> {
  onLead(): void;
  onMessage(message: Message): void;
}

/** Tabs of one browser that do a thing together: one of them leads, all hear each other. */
export interface Tabs<Message> {
  readonly leads: boolean;
  /** Hear the others from now on, and lead as soon as nobody else does. */
  join(): void;
  /** Let another tab lead, but go on hearing. `join()` queues up again. */
  stepDown(): void;
  leave(): void;
  /** Tell all other tabs. */
  post(message: Message): void;
}

/**
 * Why Web Locks and a BroadcastChannel instead of a SharedWorker: Chrome on Android has no shared workers; a worker
 * needs a script of its own at the page's origin, which bundlers and content security policies make hard; and it could
 * not call the page's function for tokens. A lock has exactly one holder, passes to the next in the queue when a tab
 * closes or crashes, without time-outs or votes, and browsers do not freeze a page that holds one.
 * Where either is missing (insecure origins, sandboxed frames) each tab leads itself.
 */
export function makeTabs<Message>(
  { locks, openChannel }: Environment,
  name: string,
  { onLead, onMessage }: TabsOptions<Message>,
): Tabs<Message> {
  let channel: ChannelLike | undefined;
  let leads = false;
  let waiting: AbortController | undefined;
  let release: (() => void) | undefined;

  const lead = (): void => {
    leads = true;
    onLead();
  };

  const closeChannel = (): void => {
    if (channel) channel.onmessage = null;
    channel?.close();
    channel = undefined;
  };

  const tabs: Tabs<Message> = {
    get leads() {
      return leads;
    },
    join() {
      if (!locks || !openChannel) return lead();
      if (!channel) {
        channel = openChannel(name);
        channel.onmessage = ({ data }) => onMessage(data as Message);
      }
      if (waiting || leads) return;
      const mine = (waiting = new AbortController());
      const held = (): Promise<void> =>
        new Promise((done) => {
          if (waiting !== mine) return done();
          waiting = undefined;
          release = done;
          lead();
        });
      locks.request(name, { signal: mine.signal }, held).catch(() => {
        if (waiting !== mine) return; // we do not want it any more
        waiting = undefined;
        closeChannel();
        lead(); // locks are forbidden here: alone, then
      });
    },
    stepDown() {
      waiting?.abort();
      release?.();
      leads = false;
      waiting = release = undefined;
    },
    leave() {
      tabs.stepDown();
      closeChannel();
    },
    post(message) {
      channel?.postMessage(message);
    },
  };
  return tabs;
}

/** Claims that change from token to token of one person in one session. */
const FLEETING = new Set(["exp", "iat", "nbf", "jti", "nonce", "at_hash"]);

/**
 * A name for whoever a token stands for, the same for each of their tokens; tabs share a socket only under the same
 * name. All other claims count, since any of them may be what an issuer calls the tenant: at worst tabs do not share.
 * It is hashed (FNV-1a, 64 bits): names of locks are no place for tokens or addresses of people.
 */
export function nameOfBearer(token: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const octet of new TextEncoder().encode(claimsOf(token))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(octet)) * 0x100000001b3n);
  }
  return hash.toString(36);
}

function claimsOf(token: string): string {
  try {
    const payload = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const claims = Object.entries(JSON.parse(atob(payload)) as object);
    return JSON.stringify(claims.filter(([name]) => !FLEETING.has(name)).sort());
  } catch {
    return token;
  }
}
