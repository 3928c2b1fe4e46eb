import type { ChatFile, ChatMessage, Outgoing } from "../client/index.js";
import { type Context } from "./parts.js";
export declare const EMOJI: string[];
/** What can be done with messages. */
export interface Actions {
    reply(message: ChatMessage): void;
    edit(message: ChatMessage): void;
    remove(message: ChatMessage): void;
    react(message: ChatMessage, emoji: string, present: boolean): void;
    jump(messageId: string): void;
    retry(clientMessageId: string): void;
    discard(clientMessageId: string): void;
    fetch(file: ChatFile): void;
}
/** A message as it is to be drawn. */
export interface Shown {
    readonly key: string;
    readonly message: ChatMessage | undefined;
    readonly outgoing: Outgoing | undefined;
    readonly isOwn: boolean;
    /** The first of several of one person. */
    readonly isFirst: boolean;
    readonly isGroup: boolean;
    readonly isRead: boolean;
    readonly replied: ChatMessage | undefined;
    readonly mayDelete: boolean;
}
/** What a drawing depends on: while it is the same there is nothing to draw anew. */
export declare function signature({ message, outgoing, isFirst, isRead, replied, mayDelete }: Shown): string;
/** Draw a message. */
export declare function drawMessage(context: Context, shown: Shown, actions: Actions): HTMLElement;
/** Whether the tab key stops at what is in a message: only in the one that the arrow keys are at. */
export declare function setReachable(article: HTMLElement, isReachable: boolean): void;
/** The buttons beside a message that the pointer or the focus is on. */
export declare function drawTools({ locale, client }: Context, { message, isOwn, mayDelete }: Shown, actions: Actions): HTMLElement | undefined;
/** What the service itself says. */
export declare function drawSystem(message: ChatMessage): HTMLElement;
