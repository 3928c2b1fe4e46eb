import { type ChatClient, type ChatMessage, type Conversation, type Participant } from "../client/index.js";
import { arrange, h, icon, safeLink, setAttribute, WEB } from "../ui/dom.js";
import { ICONS } from "./icons.js";
import type { ChatLocale } from "./texts.js";
/** What every part of the component needs. */
export interface Context {
    readonly client: ChatClient;
    readonly locale: ChatLocale;
}
/** The others of a conversation. */
export declare function others({ client }: Context, id: string): Participant[];
/** The title, or who it is with. */
export declare function titleOf(context: Context, conversation: Conversation): string;
/** How somebody is called in a conversation. */
export declare function nameOf({ client, locale }: Context, id: string, userId: string | null, known?: string): string;
/** A message in one line, for lists and quotes. */
export declare function summary({ locale }: Context, message: ChatMessage): string;
/** A disc with initials; always the same colour for the same name. */
export declare function avatar(name: string): HTMLElement;
/** A button that shows a drawing and says what it does. */
export declare function iconButton(label: string, path: string, onclick: () => void, attributes?: Record<string, string>): HTMLButtonElement;
/** Text with its web addresses as links, and nothing else of it as markup. */
export declare function linked(text: string): (Node | string)[];
/** Whether a text is nothing but one to three emoji. */
export declare function isEmoji(text: string): boolean;
/** What to tell people of an error; the service's own words, where it gave some. */
export declare function reasonOf(error: unknown): string;
/** Set a text if it is another one. */
export declare function setText(element: Element, text: string): void;
/** A notice in the middle of an empty pane. */
export declare function notice(path: string, title: string, hint?: string, action?: HTMLElement): HTMLElement;
export { arrange, h, icon, ICONS, safeLink, setAttribute, WEB };
