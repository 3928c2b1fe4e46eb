import { h, type Child } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import type { InboxTexts } from "./texts.js";
/** A number as it stands in a badge. */
export declare function counted(count: number, locale: Locale<InboxTexts>): string;
/** An element that pages may style: what `::part()` calls it is its class, too. */
export declare function part<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, names: string, attributes?: Parameters<typeof h>[1], ...children: Child[]): HTMLElementTagNameMap[Tag];
/** A button of one icon. */
export declare function tool(names: string, name: string, path: string, onclick: () => void): HTMLButtonElement;
/** Give a button of one icon its name and its icon. */
export declare function label(button: HTMLElement, name: string, path: string): void;
/** A notice in the middle of where messages would be. */
export declare function sign(names: string, path: string, title: string, hint: string, ...more: Child[]): HTMLElement;
/** What stands where messages will be. */
export declare function loadingNotice(locale: Locale<InboxTexts>): HTMLElement[];
/** What stands where messages would be. */
export declare function errorNotice(locale: Locale<InboxTexts>, retry: () => void): HTMLElement;
export declare function retryButton(locale: Locale<InboxTexts>, retry: () => void): HTMLButtonElement;
