/** Texts of a component: plain ones, and such that depend on a number, by plural category (CLDR). */
export type Texts = Record<string, string | Partial<Record<Intl.LDMLPluralRule, string>>>;
/** The texts and the numbers of a language. */
export declare class Locale<T extends Texts> {
    #private;
    private texts;
    readonly tag: string;
    constructor(tag: string, texts: Partial<T>);
    /** Give texts for what has none yet. */
    complete(texts: Partial<T>): void;
    /** A text. `{count}` in it becomes the number, and decides about singular and plural. */
    text(name: keyof T & string, count?: number): string;
    number(value: number): string;
}
/**
 * Which of some languages, by lower-case tag, suits one best: itself, or the one that it belongs to (`pt-PT` →
 * `pt-br`). Undefined if there is none.
 */
export declare function nearestLanguage(tag: string, names: readonly string[]): string | undefined;
