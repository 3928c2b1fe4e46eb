import { later } from "../ui/later.js";
import { nearestLanguage } from "../ui/locale.js";
import type { english as englishOfContents } from "./contents-texts.js";

/** What the inbox says at once. `{count}` becomes the number; texts with one have forms by plural category. */
const english = {
  title: "Notifications",
  bell: { one: "Notifications, {count} unread", other: "Notifications, {count} unread" },
  close: "Close",
  isNew: "New notification",
  loading: "Loading notifications",
  error: "Notifications could not be loaded",
  errorHint: "Check your connection and try again.",
  retry: "Try again",
};

type Name = keyof typeof english | keyof typeof englishOfContents;
export type InboxTexts = Record<Name, string | Partial<Record<Intl.LDMLPluralRule, string>>>;

/** Files of their own, so that nobody loads what nobody reads. */
const OTHERS: Record<string, () => Promise<{ texts: InboxTexts }>> = {
  de: later(() => import("./languages/de.js")),
  "pt-br": later(() => import("./languages/pt-br.js")),
};

const loaded: Record<string, Partial<InboxTexts>> & { en: Partial<InboxTexts> } = { en: english };

/** The languages that are there by now, with the one that suits a tag; a promise if it has to be loaded first. */
export function languagesFor(tag: string): typeof loaded | Promise<typeof loaded> {
  const name = nearestLanguage(tag, ["en", ...Object.keys(OTHERS)]);
  const load = OTHERS[name];
  if (!load || loaded[name]) return loaded;
  return load().then(
    ({ texts }) => {
      loaded[name] = texts;
      return loaded;
    },
    () => loaded, // English is better than nothing; whoever asks again tries again
  );
}
