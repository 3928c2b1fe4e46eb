import type { Locale } from "../ui/locale.js";
import type { InboxTexts } from "./texts.js";
/** A number as it stands in a badge. */
export declare function counted(count: number, locale: Locale<InboxTexts>): string;
/** A button of the panel's heading. */
export declare function iconButton(part: string, name: string, path: string, onclick: () => void): HTMLButtonElement;
/** Give a button of one icon its name and its icon. */
export declare function label(button: HTMLElement, name: string, path: string): void;
/** What stands where messages will be. */
export declare function loadingNotice(locale: Locale<InboxTexts>): HTMLElement[];
/** What stands where messages would be. */
export declare function errorNotice(locale: Locale<InboxTexts>, retry: () => void): HTMLElement;
export declare function retryButton(locale: Locale<InboxTexts>, retry: () => void): HTMLButtonElement;
