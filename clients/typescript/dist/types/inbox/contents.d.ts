import type { Inbox, InboxState } from "../client/index.js";
import type { Locale } from "../ui/locale.js";
import type { InboxTexts } from "./texts.js";
/** Whose contents they are. */
export interface Host {
    toggleMute(): void;
    /** Dispatch an event. False if somebody has prevented what would follow. */
    tell(name: string, detail: unknown): boolean;
}
export type Trouble = "" | "offline" | "reconnecting" | "refused" | "unauthenticated";
/** What stands in the open panel. A file of its own: a page is quicker without, and few people open it at once. */
export declare class Contents {
    #private;
    private readonly locale;
    private readonly host;
    private readonly inbox;
    static readonly css: string;
    /** Beside the heading. */
    readonly buttons: readonly HTMLElement[];
    /** Below it. */
    readonly parts: readonly HTMLElement[];
    constructor(locale: Locale<InboxTexts>, host: Host, inbox: Inbox | undefined);
    end(): void;
    show(state: InboxState): void;
    showMuted(muted: boolean): void;
    /** Say what is wrong with the connection; nothing if all is well. */
    showTrouble(trouble: Trouble): void;
    /** Say something for a moment. */
    say(words: string, ...more: Node[]): void;
    /** Say no longer what was said for a moment. */
    hush(): void;
    tick(): void;
    focus(): void;
}
