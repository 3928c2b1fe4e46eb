import type { english as englishOfContents } from "./contents-texts.js";
/** What the inbox says at once. `{count}` becomes the number; texts with one have forms by plural category. */
declare const english: {
    title: string;
    bell: {
        one: string;
        other: string;
    };
    close: string;
    isNew: string;
    loading: string;
    error: string;
    errorHint: string;
    retry: string;
};
type Name = keyof typeof english | keyof typeof englishOfContents;
export type InboxTexts = Record<Name, string | Partial<Record<Intl.LDMLPluralRule, string>>>;
declare const loaded: Record<string, Partial<InboxTexts>> & {
    en: Partial<InboxTexts>;
};
/** The languages that are there by now, with the one that suits a tag; a promise if it has to be loaded first. */
export declare function languagesFor(tag: string): typeof loaded | Promise<typeof loaded>;
export {};
