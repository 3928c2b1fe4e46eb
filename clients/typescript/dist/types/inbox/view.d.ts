import type { InboxState } from "../client/inbox.js";
import type { Message } from "../client/types.js";
import type { Locale } from "../ui/locale.js";
import type { Contents, Trouble } from "./contents.js";
import type { InboxTexts } from "./texts.js";
export interface ViewVerbs {
    /** Open or close the panel. */
    setOpen(open: boolean): void;
    /** The contents are wanted now. `fill` or `showPending("error")` follows. */
    loadContents(): void;
}
/** What the inbox looks like at once: the bell, and a panel with a heading. The panel's contents come later. */
export interface InboxView {
    readonly element: HTMLElement;
    readonly isFilled: boolean;
    /** Fill the panel. Who waits in it for its contents is led to them. */
    fill(contents: Contents): void;
    /** Show that the contents are on their way, or that they could not be loaded. */
    showPending(notice: "loading" | "error"): void;
    end(): void;
    show(state: InboxState): void;
    /** Open the panel, near the bell and with the focus in it, or close it. */
    showOpen(open: boolean): void;
    showMuted(muted: boolean): void;
    /** Say what is wrong with the connection; nothing if all is well. */
    showTrouble(trouble: Trouble): void;
    /** Say something for a moment to who has the panel open. */
    say(name: keyof InboxTexts): void;
    /** Tell those who can not see it, and ring the bell for those who can. */
    announce(message: Message): void;
}
export declare function makeView(locale: Locale<InboxTexts>, verbs: ViewVerbs): InboxView;
