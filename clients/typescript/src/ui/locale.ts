/** Texts of a component: plain ones, and such that depend on a number, by plural category (CLDR). */
export type Texts = Record<string, string | Partial<Record<Intl.LDMLPluralRule, string>>>;

/**
 * The texts and the numbers of a language. `languages` are built in, by lower-case tag; `own` come from the page and
 * win, one by one. A language that is not there falls back to the one it belongs to (`pt-PT` → `pt-br`), then English.
 */
export class Locale<T extends Texts> {
  readonly tag: string;
  #texts: Partial<T>;
  readonly #plurals: Intl.PluralRules;
  readonly #numbers: Intl.NumberFormat;

  constructor(tag: string, languages: Record<string, Partial<T>> & { en: Partial<T> }, own: Partial<T> = {}) {
    this.tag = supported(tag);
    this.#texts = { ...languages.en, ...languages[nearestLanguage(tag, Object.keys(languages))], ...own };
    this.#plurals = new Intl.PluralRules(this.tag);
    this.#numbers = new Intl.NumberFormat(this.tag);
  }

  /** Give English texts for what has none yet. */
  complete(texts: Partial<T>): void {
    this.#texts = { ...texts, ...this.#texts };
  }

  /** A text. `{count}` in it becomes the number, and decides about singular and plural. */
  text(name: keyof T & string, count?: number): string {
    const text = this.#texts[name] ?? "";
    const chosen =
      typeof text === "string" ? text : (text[this.#plurals.select(count ?? 0)] ?? text.other ?? "");
    return count === undefined ? chosen : chosen.replace("{count}", this.#numbers.format(count));
  }

  number(value: number): string {
    return this.#numbers.format(value);
  }
}

/** Which of some languages, by lower-case tag, suits one best: itself, a relative (`pt-PT` → `pt-br`), or English. */
export function nearestLanguage(tag: string, names: readonly string[]): string {
  const language = supported(tag).toLowerCase();
  const base = language.split("-")[0];
  return names.find((name) => name === language) ?? names.find((name) => name.split("-")[0] === base) ?? "en";
}

function supported(tag: string): string {
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? "en";
  } catch {
    return "en";
  }
}
