import type { Action, Message } from "../client/types.js";
import { h, icon, safeLink, setAttribute, WEB } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { ALERT, ARCHIVE, ARROW_UP, BIN, CHECK, CLOCK, DOT, INBOX } from "./contents-icons.js";
import { BELL } from "./icons.js";
import { label, part, tool } from "./parts.js";
import type { InboxTexts } from "./texts.js";
import type { Times } from "./times.js";

/** What an item asks for. */
export interface ItemVerbs {
  /** Somebody chose the message. False: its link shall not be followed. */
  open(message: Message): boolean;
  /** Somebody pressed one of its buttons. False: its link shall not be followed. */
  act(message: Message, action: Action): boolean;
  toggleRead(message: Message): void;
  toggleArchived(message: Message): void;
  /** Ask until when, at a button. */
  snooze(message: Message, button: HTMLElement): void;
  /** Ask whether, at a button. */
  delete(message: Message, button: HTMLElement): void;
}

/** One message in the list. */
export interface Item {
  readonly element: HTMLElement;
  /** Show what has changed. False: it is another message by now, make a new item. */
  update(message: Message): boolean;
  /** Say anew how long ago it was. */
  tick(): void;
  /** Whether it is the one that the keyboard is at; only its buttons are reached by the tab key. */
  setCurrent(isCurrent: boolean): void;
}

const MARKS: Record<string, string> = { high: ARROW_UP, urgent: ALERT };

export function makeItem(message: Message, locale: Locale<InboxTexts>, times: Times, verbs: ItemVerbs): Item {
  let shown = message;
  const { id, title, body, category, priority, actions } = message;
  const text = locale.text.bind(locale);
  const created = new Date(message.created_at);
  const link = safeLink(message.action?.url);
  const mark = MARKS[priority];
  const open = (event: Event): void => {
    if (!verbs.open(shown)) event.preventDefault();
  };
  const time = part("time", "item-time", { datetime: message.created_at, title: times.full(created) });
  const until = h("span");
  const read = tool("item-read", "", DOT, () => verbs.toggleRead(shown));
  const archive = tool("item-archive", "", DOT, () => verbs.toggleArchived(shown));
  const snooze = tool("item-snooze", text("snooze"), CLOCK, () => verbs.snooze(shown, snooze));
  const remove = tool("item-delete", text("delete"), BIN, () => verbs.delete(shown, remove));
  for (const button of [snooze, remove]) Object.assign(button, { ariaHasPopup: "menu", ariaExpanded: "false" });

  const element = part(
    "article",
    "item",
    {
      tabindex: -1,
      "aria-labelledby": `title-${id}`,
      "aria-describedby": `body-${id}`,
      "data-id": id,
      "data-priority": priority,
      onclick: (event: Event) => (event.target as Element).closest("a, button") ?? verbs.open(shown),
    },
    picture(message, mark),
    h(
      "div",
      { class: "words" },
      h(
        "div",
        { class: "head" },
        part(
          "h3",
          "item-title",
          { id: `title-${id}` },
          link ? h("a", { class: "cover", href: link, tabindex: -1, onclick: open }, title || body) : title || body,
        ),
        time,
        h("span", { class: "dot", role: "img", "aria-label": text("isUnread") }),
      ),
      part("p", "item-body", { id: `body-${id}`, hidden: !title || !body }, body),
      h(
        "div",
        { class: "meta" },
        mark && part("span", "item-priority", {}, text(priority as "high" | "urgent")),
        category && part("span", "item-category", {}, category),
        until,
      ),
      h("div", { class: "actions" }, ...actions.map(button)),
    ),
    part("div", "item-tools", {}, read, archive, snooze, remove),
  );

  function button(action: Action): HTMLElement | undefined {
    const href = safeLink(action.url);
    if (!href && !action.callback) return undefined;
    const onclick = (event: Event): void => {
      if (!verbs.act(shown, action)) event.preventDefault();
    };
    return part(href ? "a" : "button", "action", { href, onclick }, action.label || text("open"));
  }

  function show(): void {
    const { read_at, archived_at, snoozed_until } = shown;
    setAttribute(element, "data-unread", !read_at);
    label(read, text(read_at ? "markUnread" : "markRead"), read_at ? DOT : CHECK);
    label(archive, text(archived_at || snoozed_until ? "unarchive" : "archive"), archived_at || snoozed_until ? INBOX : ARCHIVE);
    until.textContent = snoozed_until && `${text("snoozedUntil")} ${times.soon(new Date(snoozed_until))}`;
  }

  const item: Item = {
    element,
    update(next) {
      if (next !== shown && contentOf(next) !== contentOf(shown)) return false;
      shown = next;
      show();
      return true;
    },
    tick() {
      time.textContent = times.ago(created);
    },
    setCurrent(isCurrent) {
      for (const each of [element, ...element.querySelectorAll<HTMLElement>("button, .action")]) each.tabIndex = isCurrent ? 0 : -1;
    },
  };
  show();
  item.tick();
  item.setCurrent(false);
  return item;
}

/** The message's picture, or a sign of its priority. */
function picture({ image }: Message, path = BELL): HTMLElement {
  const mark = part("div", "item-mark", {}, icon(path));
  const src = safeLink(image, WEB);
  if (!src) return mark;
  const onerror = (): void => shown.replaceWith(mark);
  const shown = part("img", "item-mark item-image", { src, alt: "", loading: "lazy", referrerpolicy: "no-referrer", onerror });
  return shown;
}

/** What an item is built of; all else it can change in place. */
function contentOf({ title, body, category, priority, image, action, actions, created_at }: Message): string {
  return JSON.stringify([title, body, category, priority, image, action, actions, created_at]);
}
