/** How a language says when something was. */
export class Times {
  readonly #relative: Intl.RelativeTimeFormat;
  readonly #moment: Intl.DateTimeFormat;

  constructor(tag: string) {
    this.#relative = new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" });
    this.#moment = new Intl.DateTimeFormat(tag, { dateStyle: "full", timeStyle: "short" });
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
