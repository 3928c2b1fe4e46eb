import { later } from "../ui/later.js";
import { nearestLanguage } from "../ui/locale.js";
import type { english as englishOfContents } from "./contents-texts.js";

/** What the inbox says at once. `{count}` becomes the number; texts with one have forms by plural category. */
const english = {
  title: "Notifications",
  bell: { other: "Notifications, {count} unread" },
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

/** The texts of the language that suits a tag best. English is better than nothing, if they can not be loaded. */
export async function textsFor(tag: string): Promise<Partial<InboxTexts>> {
  const load = OTHERS[nearestLanguage(tag, ["en", ...Object.keys(OTHERS)]) ?? "en"];
  const loaded = await load?.().catch(() => undefined);
  return { ...english, ...loaded?.texts };
}
