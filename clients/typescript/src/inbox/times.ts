/** How a language says when something was, or will be. */
export interface Times {
  /** “3 min ago”, “yesterday”. Moments that are a few seconds ahead, by another clock, are now. */
  ago(moment: Date): string;
  /** “tomorrow”, “next week”. */
  next(unit: "day" | "week"): string;
  /** Day and time in full. */
  full(moment: Date): string;
  /** A moment to come: “6:00 PM” of today, “Tue 8:00 AM”, from next week on with its date. */
  soon(moment: Date): string;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Within so many milliseconds the name of a day says which. */
const FEW_DAYS = 4 * 86_400_000;

export function makeTimes(tag: string): Times {
  const relative = new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" });
  const coming = new Intl.RelativeTimeFormat(tag, { numeric: "auto" });
  const long = new Intl.DateTimeFormat(tag, { dateStyle: "full", timeStyle: "short" });
  return {
    ago(moment) {
      const seconds = Math.min(0, (moment.getTime() - Date.now()) / 1000);
      const [unit, length] = UNITS.find(([, length]) => seconds <= -length) ?? ["second", 60];
      return relative.format(Math.ceil(seconds / length), unit);
    },
    next: (unit) => coming.format(1, unit),
    full: (moment) => long.format(moment),
    soon(moment) {
      const isToday = moment.toDateString() === new Date().toDateString();
      const isFar = moment.getTime() - Date.now() > FEW_DAYS;
      return moment.toLocaleString(tag, {
        ...(!isToday && { weekday: "short" }),
        ...(isFar && { day: "numeric", month: "short" }),
        hour: "numeric",
        minute: "numeric",
      });
    },
  };
}
