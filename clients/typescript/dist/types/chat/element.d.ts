import { ChatClient, type TokenSource } from "../client/index.js";
import { type ChatTexts } from "./texts.js";
/** Where there is no DOM the module can still be loaded: nothing is defined then. */
declare const Base: typeof HTMLElement;
/**
 * `<notification-chat>`: conversations, and the messages of one.
 *
 * Give it a `client`, or `tenant-id`, `base-url` and a `token` (an attribute, or a property that may be a function).
 * `conversation` opens one; `theme` is `light` or `dark`, else what the system says; `lang` and `texts` translate.
 * Colours: the custom properties `--notify-…`. It tells of itself by the events `notification-chat-open` (its detail:
 * `{conversation}`), `notification-chat-message` (`{message}`, of somebody else) and `notification-chat-unread`
 * (`{unread}`).
 */
export declare class NotificationChat extends Base {
    #private;
    static readonly tagName = "notification-chat";
    static readonly observedAttributes: string[];
    constructor();
    /** Whose chat it shows. One that is given is started, and not stopped. */
    get client(): ChatClient | undefined;
    set client(client: ChatClient | undefined);
    /** A token, or a function that gives one: see `TokenSource`. */
    get token(): TokenSource | undefined;
    set token(token: TokenSource | undefined);
    /** Texts of yours, in the place of ours. */
    set texts(texts: Partial<ChatTexts>);
    /** The conversation that is shown. */
    get conversation(): string | undefined;
    set conversation(id: string | undefined);
    connectedCallback(): void;
    disconnectedCallback(): void;
    attributeChangedCallback(name: string, before: string | null, after: string | null): void;
}
export {};
