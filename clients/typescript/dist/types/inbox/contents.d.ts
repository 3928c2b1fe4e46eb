import type { Inbox, InboxState } from "../client/inbox.js";
import type { Locale } from "../ui/locale.js";
import css from "./contents.css";
import type { InboxTexts } from "./texts.js";
/** Whose contents they are. */
export interface Host {
    toggleMute(): void;
    /** Dispatch an event. False if somebody has prevented what would follow. */
    tell(name: string, detail: unknown): boolean;
}
export type Trouble = "" | "offline" | "reconnecting" | "refused" | "unauthenticated";
/** What stands in the open panel. A file of its own: a page is quicker without, and few people open it at once. */
export interface Contents {
    /** Beside the heading. */
    readonly buttons: readonly HTMLElement[];
    /** Below it. */
    readonly parts: readonly HTMLElement[];
    end(): void;
    show(state: InboxState): void;
    showMuted(muted: boolean): void;
    /** Say what is wrong with the connection; nothing if all is well. */
    showTrouble(trouble: Trouble): void;
    /** Say something for a moment. */
    say(words: string): void;
    /** Say no longer what was said for a moment. */
    hush(): void;
    /** Say anew how long ago everything was. */
    tick(): void;
    /** Put the focus on a message, if they are there. */
    focus(): void;
}
export { css };
export declare function makeContents(locale: Locale<InboxTexts>, host: Host, inbox: Inbox | undefined): Contents;
