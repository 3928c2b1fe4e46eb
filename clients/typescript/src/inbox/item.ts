import type { Action, Message } from "../client/index.js";
import { h, icon, safeImage, safeLink } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { ALERT, ARCHIVE, ARROW_UP, CHECK, DOT, INBOX } from "./contents-icons.js";
import { BELL } from "./icons.js";
import { label } from "./parts.js";
import type { InboxTexts } from "./texts.js";
import type { Times } from "./times.js";

/** What an item asks for. */
export interface ItemVerbs {
  /** Somebody chose the message. False: its link shall not be followed. */
  open(message: Message): boolean;
  /** Somebody pressed one of its buttons. False: its link shall not be followed. */
  act(message: Message, action: Action): boolean;
  setRead(message: Message, read: boolean): void;
  setArchived(message: Message, archived: boolean): void;
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
  const text = locale.text.bind(locale);
  const created = new Date(message.created_at);
  const time = h("time", { class: "time", part: "item-time", datetime: message.created_at, title: times.moment(created) });
  const toggleRead = tool("item-read", () => verbs.setRead(shown, !shown.read_at));
  const toggleArchived = tool("item-archive", () => verbs.setArchived(shown, !shown.archived_at));
  const [titleId, bodyId] = [`title-${message.id}`, `body-${message.id}`];
  const isMarked = message.priority === "high" || message.priority === "urgent";
  const link = safeLink(message.action?.url);
  const title = message.title || message.body;

  const element = h(
    "article",
    { class: "item", part: "item", tabindex: -1, "aria-labelledby": titleId, "aria-describedby": bodyId },
    picture(message),
    h(
      "div",
      { class: "words" },
      h(
        "div",
        { class: "head" },
        h("h3", { class: "title", part: "item-title", id: titleId }, link ? cover(link, title) : title),
        time,
        h("span", { class: "dot", role: "img", "aria-label": text("isUnread") }),
      ),
      h("p", { class: "body", part: "item-body", id: bodyId, hidden: !message.title || !message.body }, message.body),
      h(
        "div",
        { class: "meta", hidden: !isMarked && !message.category },
        isMarked && h("span", { class: "priority", part: "item-priority" }, text(message.priority as "high" | "urgent")),
        message.category && h("span", { class: "category", part: "item-category" }, message.category),
      ),
      h("div", { class: "actions", hidden: !message.actions.length }, ...message.actions.map(button)),
    ),
    h("div", { class: "tools", part: "item-tools" }, toggleRead, toggleArchived),
  );
  element.dataset["id"] = message.id;
  element.dataset["priority"] = message.priority;
  element.addEventListener("click", (event) => {
    if (!(event.target as Element).closest("a, button")) verbs.open(shown);
  });

  function cover(href: string, words: string): HTMLElement {
    const onclick = (event: Event): void => {
      if (!verbs.open(shown)) event.preventDefault();
    };
    return h("a", { class: "cover", href, tabindex: -1, onclick }, words);
  }

  function button(action: Action): HTMLElement | undefined {
    const href = safeLink(action.url);
    const label = action.label || text("open");
    const onclick = (event: Event): void => {
      if (!verbs.act(shown, action)) event.preventDefault();
    };
    if (href) return h("a", { class: "action", part: "action", href, onclick }, label);
    return action.callback ? h("button", { class: "action", part: "action", type: "button", onclick }, label) : undefined;
  }

  function show(): void {
    element.toggleAttribute("data-unread", !shown.read_at);
    const [readLabel, archiveLabel] = [
      text(shown.read_at ? "markUnread" : "markRead"),
      text(shown.archived_at ? "unarchive" : "archive"),
    ];
    label(toggleRead, readLabel, shown.read_at ? DOT : CHECK);
    label(toggleArchived, archiveLabel, shown.archived_at ? INBOX : ARCHIVE);
  }

  const item: Item = {
    element,
    update(next) {
      if (next === shown) return true;
      if (contentOf(next) !== contentOf(shown)) return false;
      shown = next;
      show();
      return true;
    },
    tick() {
      time.textContent = times.ago(created);
    },
    setCurrent(isCurrent) {
      element.tabIndex = isCurrent ? 0 : -1;
      for (const each of element.querySelectorAll<HTMLElement>("button, .action")) each.tabIndex = isCurrent ? 0 : -1;
    },
  };
  show();
  item.tick();
  return item;
}

/** The message's picture, or a sign of its priority. */
function picture(message: Message): HTMLElement {
  const mark = h("div", { class: "mark", part: "item-mark" }, icon(MARKS[message.priority] ?? BELL));
  const src = safeImage(message.image);
  if (!src) return mark;
  const attributes = { class: "mark", part: "item-image", alt: "", loading: "lazy", referrerpolicy: "no-referrer" };
  const image = h("img", { ...attributes, src });
  image.addEventListener("error", () => image.replaceWith(mark));
  return image;
}

function tool(part: string, onclick: () => void): HTMLButtonElement {
  return h("button", { class: "tool", part, type: "button", onclick });
}

/** What an item is built of; all else it can change in place. */
function contentOf({ title, body, category, priority, image, action, actions, created_at }: Message): string {
  return JSON.stringify([title, body, category, priority, image, action, actions, created_at]);
}
