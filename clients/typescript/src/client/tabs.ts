import type { ChannelLike, Environment } from "./environment.js";

/**
 * Tabs of one browser that do a thing together: one of them leads, all hear each other.
 *
 * Why Web Locks and a BroadcastChannel instead of a SharedWorker: Chrome on Android has no shared workers; a worker
 * needs a script of its own at the page's origin, which bundlers and content security policies make hard; and it could
 * not call the page's function for tokens. A lock has exactly one holder, passes to the next in the queue when a tab
 * closes or crashes, without time-outs or votes, and browsers do not freeze a page that holds one.
 * Where either is missing (insecure origins, sandboxed frames) each tab leads itself.
 */
export class Tabs<Message> {
  readonly #env: Environment;
  readonly #name: string;
  readonly #options: TabsOptions<Message>;
  #channel: ChannelLike | undefined;
  #leads = false;
  #waiting: AbortController | undefined;
  #release: (() => void) | undefined;

  constructor(environment: Environment, name: string, options: TabsOptions<Message>) {
    this.#env = environment;
    this.#name = name;
    this.#options = options;
  }

  get leads(): boolean {
    return this.#leads;
  }

  /** Hear the others from now on, and lead as soon as nobody else does. */
  join(): void {
    const { locks, openChannel } = this.#env;
    if (!locks || !openChannel) return this.#lead();
    if (!this.#channel) {
      this.#channel = openChannel(this.#name);
      this.#channel.onmessage = ({ data }) => this.#options.onMessage(data as Message);
    }
    if (this.#waiting || this.#leads) return;
    const waiting = (this.#waiting = new AbortController());
    const held = (): Promise<void> =>
      new Promise((release) => {
        if (this.#waiting !== waiting) return release();
        this.#waiting = undefined;
        this.#release = release;
        this.#lead();
      });
    locks.request(this.#name, { signal: waiting.signal }, held).catch(() => {
      if (this.#waiting !== waiting) return; // we do not want it any more
      this.#waiting = undefined;
      this.#closeChannel();
      this.#lead(); // locks are forbidden here: alone, then
    });
  }

  /** Let another tab lead, but go on hearing. `join()` queues up again. */
  stepDown(): void {
    this.#waiting?.abort();
    this.#waiting = undefined;
    this.#leads = false;
    this.#release?.();
    this.#release = undefined;
  }

  leave(): void {
    this.stepDown();
    this.#closeChannel();
  }

  /** Tell all other tabs. */
  post(message: Message): void {
    this.#channel?.postMessage(message);
  }

  #lead(): void {
    this.#leads = true;
    this.#options.onLead();
  }

  #closeChannel(): void {
    if (this.#channel) this.#channel.onmessage = null;
    this.#channel?.close();
    this.#channel = undefined;
  }
}

export interface TabsOptions<Message> {
  onLead(): void;
  onMessage(message: Message): void;
}

/** Claims that change from token to token of one person in one session. */
const FLEETING = new Set(["exp", "iat", "nbf", "jti", "nonce", "at_hash"]);

/**
 * A name for whoever a token stands for, the same for each of their tokens; tabs share a socket only under the same
 * name. All other claims count, since any of them may be what an issuer calls the tenant: at worst tabs do not share.
 */
export function nameOfBearer(token: string): string {
  return hashed(claimsOf(token) ?? token);
}

function claimsOf(token: string): string | undefined {
  try {
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const claims = JSON.parse(atob(payload)) as Record<string, unknown>;
    const lasting = Object.entries(claims).filter(([name]) => !FLEETING.has(name));
    return JSON.stringify(lasting.sort(([one], [other]) => (one < other ? -1 : 1)));
  } catch {
    return undefined;
  }
}

/** 53 bits of a text (cyrb53): names of locks are no place for tokens or addresses of people. */
function hashed(text: string): string {
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (4294967296 * (2097151 & low) + (high >>> 0)).toString(36);
}
