/** Texts of a component: plain ones, and such that depend on a number, by plural category (CLDR). */
export type Texts = Record<string, string | Partial<Record<Intl.LDMLPluralRule, string>>>;

/**
 * The texts and the formats of a language. `languages` are built in, by lower-case tag; `own` come from the page and
 * win, one by one. A language that is not there falls back to the one it belongs to (`pt-PT` → `pt-br`), then English.
 */
export class Locale<T extends Texts> {
  readonly tag: string;
  readonly #texts: T;
  readonly #plurals: Intl.PluralRules;
  readonly #numbers: Intl.NumberFormat;
  readonly #relative: Intl.RelativeTimeFormat;
  readonly #moment: Intl.DateTimeFormat;

  constructor(tag: string, languages: Record<string, T> & { en: T }, own: Partial<T> = {}) {
    this.tag = supported(tag);
    const language = this.tag.toLowerCase();
    const base = language.split("-")[0] ?? "en";
    const related = Object.keys(languages).find((name) => name.split("-")[0] === base);
    this.#texts = { ...languages.en, ...languages[language in languages ? language : (related ?? "en")], ...own };
    this.#plurals = new Intl.PluralRules(this.tag);
    this.#numbers = new Intl.NumberFormat(this.tag);
    this.#relative = new Intl.RelativeTimeFormat(this.tag, { numeric: "auto", style: "short" });
    this.#moment = new Intl.DateTimeFormat(this.tag, { dateStyle: "full", timeStyle: "short" });
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

  /** “3 min ago”, “yesterday”. Moments that are a few seconds ahead, by another clock, are now. */
  ago(moment: Date, now: number = Date.now()): string {
    const seconds = Math.min(0, (moment.getTime() - now) / 1000);
    for (const [unit, length] of UNITS) {
      if (seconds <= -length) return this.#relative.format(Math.ceil(seconds / length), unit);
    }
    return this.#relative.format(0, "second");
  }

  /** Day and time in full. */
  moment(moment: Date): string {
    return this.#moment.format(moment);
  }
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

function supported(tag: string): string {
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? "en";
  } catch {
    return "en";
  }
}
