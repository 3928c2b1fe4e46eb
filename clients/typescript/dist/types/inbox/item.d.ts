import type { Action, Message } from "../client/types.js";
import type { Locale } from "../ui/locale.js";
import type { InboxTexts } from "./texts.js";
import type { Times } from "./times.js";
/** What an item asks for. */
export interface ItemVerbs {
    /** Somebody chose the message. False: its link shall not be followed. */
    open(message: Message): boolean;
    /** Somebody pressed one of its buttons. False: its link shall not be followed. */
    act(message: Message, action: Action): boolean;
    toggleRead(message: Message): void;
    toggleArchived(message: Message): void;
    /** Ask until when, at a button. */
    snooze(message: Message, button: HTMLElement): void;
    /** Ask whether, at a button. */
    delete(message: Message, button: HTMLElement): void;
}
/** One message in the list. */
export interface Item {
    readonly element: HTMLElement;
    /** Show what has changed. False: it is another message by now, make a new item. */
    update(message: Message): boolean;
    /** Say anew how long ago it was. */
    tick(): void;
    /** Whether it is the one that the keyboard is at; only its buttons are reached by the tab key. */
    setCurrent(isCurrent: boolean): void;
}
export declare function makeItem(message: Message, locale: Locale<InboxTexts>, times: Times, verbs: ItemVerbs): Item;
