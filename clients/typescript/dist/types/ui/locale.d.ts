/** Texts of a component: plain ones, and such that depend on a number, by plural category (CLDR). */
export type Texts = Record<string, string | Partial<Record<Intl.LDMLPluralRule, string>>>;
/**
 * The texts and the numbers of a language. `languages` are built in, by lower-case tag; `own` come from the page and
 * win, one by one. A language that is not there falls back to the one it belongs to (`pt-PT` → `pt-br`), then English.
 */
export declare class Locale<T extends Texts> {
    #private;
    readonly tag: string;
    constructor(tag: string, languages: Record<string, Partial<T>> & {
        en: Partial<T>;
    }, own?: Partial<T>);
    /** Give English texts for what has none yet. */
    complete(texts: Partial<T>): void;
    /** A text. `{count}` in it becomes the number, and decides about singular and plural. */
    text(name: keyof T & string, count?: number): string;
    number(value: number): string;
}
/** Which of some languages, by lower-case tag, suits one best: itself, a relative (`pt-PT` → `pt-br`), or English. */
export declare function nearestLanguage(tag: string, names: readonly string[]): string;
