import type { InboxState, View } from "../client/inbox.js";
import type { Message } from "../client/types.js";
import { arrange, h, setAttribute } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { ARCHIVE, CHECKS, CLOCK } from "./contents-icons.js";
import { BELL } from "./icons.js";
import { makeItem, type Item, type ItemVerbs } from "./item.js";
import { errorNotice, loadingNotice, part, retryButton, sign } from "./parts.js";
import type { InboxTexts } from "./texts.js";
import type { Times } from "./times.js";
import { walk } from "./walk.js";

export interface ListVerbs extends ItemVerbs {
  loadMore(): void;
  retry(): void;
}

/** What stands in a view where nothing is. */
const EMPTY = {
  all: ["emptyAll", CHECKS],
  unread: ["emptyUnread", BELL],
  snoozed: ["emptySnoozed", CLOCK],
  archived: ["emptyArchived", ARCHIVE],
} as const satisfies Record<View, unknown>;

/** The scrolling part: messages, or what stands there when there are none. */
export interface List {
  readonly element: HTMLElement;
  /** Show a state. */
  update(state: InboxState): void;
  /** Say anew how long ago everything was. */
  tick(): void;
  /** Put the focus on the message that had it last, or on the first one. */
  focus(): void;
  /** Go back to the top; another view begins there. */
  restart(): void;
  end(): void;
}

export function makeList(locale: Locale<InboxTexts>, times: Times, verbs: ListVerbs): List {
  const text = locale.text.bind(locale);
  let items = new Map<string, Item>();
  /** The message that the keyboard is at. */
  let current = "";
  let shown = "";

  const feed = part("div", "list", { role: "feed", "aria-label": text("title") });
  const notice = h("div");
  const more = h("div", { class: "more" });
  const onfocusin = ({ target }: Event): void => {
    setCurrent((target as Element).closest<HTMLElement>(".item")?.dataset["id"] ?? current);
  };
  const onkeydown = (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement;
    if (event.key === "Enter" && target.matches(".item")) (target.querySelector<HTMLElement>(".cover") ?? target).click();
    walk(event, [...feed.children] as HTMLElement[], ["ArrowUp", "ArrowDown"], false);
  };
  const attributes = { id: "messages", role: "tabpanel", tabindex: -1, onfocusin, onkeydown };
  const element = part("div", "scroller", attributes, feed, notice, more);
  const seen = (entries: IntersectionObserverEntry[]): void => {
    if (entries.some((entry) => entry.isIntersecting)) verbs.loadMore();
  };
  const observer = new IntersectionObserver(seen, { root: element, rootMargin: "400px" });

  const setCurrent = (id: string): void => {
    items.get(current)?.setCurrent(false);
    current = id;
    items.get(id)?.setCurrent(true);
  };

  const focus = (): void => (items.get(current)?.element ?? element).focus({ preventScroll: true });

  const reconcile = (messages: readonly Message[]): void => {
    const before = items;
    const index = [...before.keys()].indexOf(current);
    const hadFocus = element.matches(":focus-within");
    items = new Map();
    for (const message of messages) {
      let item = before.get(message.id);
      if (!item?.update(message)) {
        item = makeItem(message, locale, times, verbs);
        if (before.size && !items.size) arrive(item.element);
      }
      items.set(message.id, item);
      setAttribute(item.element, "aria-posinset", items.size);
      setAttribute(item.element, "aria-setsize", -1);
    }
    arrange(feed, [...items.values()].map((item) => item.element));
    const nearest = messages[Math.min(Math.max(index, 0), messages.length - 1)]?.id ?? "";
    setCurrent(items.has(current) ? current : nearest);
    if (hadFocus && !element.matches(":focus-within")) focus();
  };

  const noticeOf = (shows: View | "error" | "loading"): HTMLElement[] => {
    if (shows === "error") return [errorNotice(locale, verbs.retry)];
    if (shows === "loading") return loadingNotice(locale);
    const [name, path] = EMPTY[shows];
    return [sign("empty", path, text(name), text(`${name}Hint`))];
  };

  return {
    element,
    update({ messages, view, loading, error, hasMore }) {
      const isEmpty = !messages.length;
      setAttribute(element, "aria-labelledby", `view-${view}`);
      setAttribute(feed, "aria-busy", `${loading !== "no"}`);
      reconcile(messages);
      feed.hidden = isEmpty;
      more.hidden = isEmpty || !hasMore;
      const shows = error ? "error" : loading === "first" || hasMore ? "loading" : view;
      if (shown !== (shown = shows + isEmpty)) {
        notice.replaceChildren(...(isEmpty ? noticeOf(shows) : []));
        more.replaceChildren(error ? retryButton(locale, verbs.retry) : part("span", "spinner"));
      }
      // A page that did not fill the view does not scroll: look again.
      observer.disconnect();
      if (hasMore && loading === "no" && !error) observer.observe(more);
    },
    tick() {
      for (const item of items.values()) item.tick();
    },
    focus,
    restart() {
      current = "";
      element.scrollTop = 0;
    },
    end() {
      observer.disconnect();
    },
  };
}

/** Let a new message be seen to arrive; once, not each time that the panel is opened. */
function arrive(element: HTMLElement): void {
  element.classList.add("arriving");
  setTimeout(() => element.classList.remove("arriving"), 400);
}
