import type { InboxState } from "../client/inbox.js";
import type { Locale } from "../ui/locale.js";
import { type ItemVerbs } from "./item.js";
import type { InboxTexts } from "./texts.js";
import type { Times } from "./times.js";
export interface ListVerbs extends ItemVerbs {
    loadMore(): void;
    retry(): void;
}
/** The scrolling part: messages, or what stands there when there are none. */
export interface List {
    readonly element: HTMLElement;
    /** Show a state. */
    update(state: InboxState): void;
    /** Say anew how long ago everything was. */
    tick(): void;
    /** Put the focus on the message that had it last, or on the first one. */
    focus(): void;
    /** Go back to the top; another view begins there. */
    restart(): void;
    end(): void;
}
export declare function makeList(locale: Locale<InboxTexts>, times: Times, verbs: ListVerbs): List;
