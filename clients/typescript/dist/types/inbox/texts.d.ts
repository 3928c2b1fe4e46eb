import type { english as englishOfContents } from "./contents-texts.js";
/** What the inbox says at once. `{count}` becomes the number; texts with one have forms by plural category. */
declare const english: {
    title: string;
    bell: {
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
/** The texts of the language that suits a tag best. English is better than nothing, if they can not be loaded. */
export declare function textsFor(tag: string): Promise<Partial<InboxTexts>>;
export {};
