/** Texts of a component: plain ones, and such that depend on a number, by plural category (CLDR). */
export type Texts = Record<string, string | Partial<Record<Intl.LDMLPluralRule, string>>>;
/**
 * The texts and the formats of a language. `languages` are built in, by lower-case tag; `own` come from the page and
 * win, one by one. A language that is not there falls back to the one it belongs to (`pt-PT` → `pt-br`), then English.
 */
export declare class Locale<T extends Texts> {
    #private;
    readonly tag: string;
    constructor(tag: string, languages: Record<string, T> & {
        en: T;
    }, own?: Partial<T>);
    /** A text. `{count}` in it becomes the number, and decides about singular and plural. */
    text(name: keyof T & string, count?: number): string;
    number(value: number): string;
    /** “3 min ago”, “yesterday”. Moments that are a few seconds ahead, by another clock, are now. */
    ago(moment: Date, now?: number): string;
    /** Day and time in full. */
    moment(moment: Date): string;
}
