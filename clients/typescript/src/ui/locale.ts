/** Texts of a component: plain ones, and such that depend on a number, by plural category (CLDR). */
export type Texts = Record<string, string | Partial<Record<Intl.LDMLPluralRule, string>>>;

/** The texts and the numbers of a language. */
export class Locale<T extends Texts> {
  readonly tag: string;
  readonly #plurals: Intl.PluralRules;
  readonly #numbers: Intl.NumberFormat;

  constructor(
    tag: string,
    private texts: Partial<T>,
  ) {
    this.tag = supported(tag);
    this.#plurals = new Intl.PluralRules(this.tag);
    this.#numbers = new Intl.NumberFormat(this.tag);
  }

  /** Give texts for what has none yet. */
  complete(texts: Partial<T>): void {
    this.texts = { ...texts, ...this.texts };
  }

  /** A text. `{count}` in it becomes the number, and decides about singular and plural. */
  text(name: keyof T & string, count = 0): string {
    const text = this.texts[name] ?? "";
    const chosen = typeof text === "string" ? text : (text[this.#plurals.select(count)] ?? text.other ?? "");
    return chosen.replace("{count}", this.number(count));
  }

  number(value: number): string {
    return this.#numbers.format(value);
  }
}

/**
 * Which of some languages, by lower-case tag, suits one best: itself, or the one that it belongs to (`pt-PT` →
 * `pt-br`). Undefined if there is none.
 */
export function nearestLanguage(tag: string, names: readonly string[]): string | undefined {
  const language = supported(tag).toLowerCase();
  const [base] = language.split("-");
  return names.find((name) => name === language) ?? names.find((name) => name.split("-")[0] === base);
}

function supported(tag: string): string {
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? "en";
  } catch {
    return "en";
  }
}
