import type { InboxState, Message, View } from "../client/index.js";
import type { Locale } from "../ui/locale.js";
import { List, type ListVerbs } from "./list.js";
import type { InboxTexts } from "./texts.js";
export interface ViewVerbs extends ListVerbs {
    toggle(): void;
    close(): void;
    mute(): void;
    show(view: View): void;
    markAllRead(): void;
    reconnect(): void;
}
type Trouble = "" | "offline" | "reconnecting" | "refused" | "unauthenticated";
/** What the inbox looks like: the bell, and the panel with everything in it. */
export declare class InboxView {
    #private;
    private readonly locale;
    private readonly verbs;
    readonly element: HTMLElement;
    readonly bell: HTMLButtonElement;
    readonly panel: HTMLElement;
    readonly list: List;
    constructor(locale: Locale<InboxTexts>, verbs: ViewVerbs);
    show(state: InboxState): void;
    showOpen(open: boolean): void;
    showMuted(muted: boolean): void;
    /** Say what is wrong with the connection; nothing if all is well. */
    showStatus(trouble: Trouble): void;
    /** Tell those who can not see it, and ring the bell for those who can. */
    announce(message: Message): void;
    /** Say something for a moment. */
    say(words: string, ...more: Node[]): void;
    /** Say something that can be undone. */
    offerUndo(words: string, undo: () => void): void;
}
export {};
