import type { InboxState } from "../client/index.js";
import type { Locale } from "../ui/locale.js";
import { type ItemVerbs } from "./item.js";
import type { InboxTexts } from "./texts.js";
export interface ListVerbs extends ItemVerbs {
    loadMore(): void;
    retry(): void;
}
/** The scrolling part: messages, or what stands there when there are none. */
export declare class List {
    #private;
    private readonly locale;
    private readonly verbs;
    readonly element: HTMLElement;
    constructor(locale: Locale<InboxTexts>, verbs: ListVerbs);
    /** Show a state. */
    update(state: InboxState): void;
    tick(): void;
    /** Put the focus on the message that had it last, or on the first one. */
    focus(): void;
    /** Go back to the top; another view begins there. */
    restart(): void;
    end(): void;
}
