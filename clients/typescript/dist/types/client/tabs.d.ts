import type { Environment } from "./environment.js";
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
export declare function makeTabs<Message>({ locks, openChannel }: Environment, name: string, { onLead, onMessage }: TabsOptions<Message>): Tabs<Message>;
/**
 * A name for whoever a token stands for, the same for each of their tokens; tabs share a socket only under the same
 * name. All other claims count, since any of them may be what an issuer calls the tenant: at worst tabs do not share.
 * It is hashed (FNV-1a, 64 bits): names of locks are no place for tokens or addresses of people.
 */
export declare function nameOfBearer(token: string): string;
