import type { TokenSource } from "../client/api.js";
import { NotificationClient } from "../client/notifications.js";
import { type InboxTexts } from "./texts.js";
/** Where there is no DOM the module can still be loaded: nothing is defined then. */
declare const Base: typeof HTMLElement;
/** The inbox: a bell with a count, and a panel with the messages. README.md lists attributes, events and styles. */
export declare class NotificationInbox extends Base {
    #private;
    static readonly observedAttributes: string[];
    static readonly tagName = "notification-inbox";
    constructor();
    /** A client of the page's own; the inbox then neither makes nor stops one. */
    get client(): NotificationClient | undefined;
    set client(client: NotificationClient | undefined);
    /** A bearer token, or a function that gives one. */
    get token(): TokenSource | undefined;
    set token(token: TokenSource | undefined);
    /** Texts of the page's own, in the place of ours. */
    get texts(): Partial<InboxTexts>;
    set texts(texts: Partial<InboxTexts>);
    /** Whether sounds are off. What the person has chosen is kept; before that the attribute decides. */
    get muted(): boolean;
    set muted(muted: boolean);
    get open(): boolean;
    set open(open: boolean);
    connectedCallback(): void;
    disconnectedCallback(): void;
    attributeChangedCallback(name: string, before: string | null, now: string | null): void;
}
export {};
