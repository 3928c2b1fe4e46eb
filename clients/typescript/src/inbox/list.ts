import type { InboxState, Message } from "../client/index.js";
import { h, icon, setAttribute } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { ARCHIVE, CHECKS } from "./contents-icons.js";
import { BELL } from "./icons.js";
import { makeItem, type Item, type ItemVerbs } from "./item.js";
import { errorNotice, loadingNotice, retryButton } from "./parts.js";
import type { InboxTexts } from "./texts.js";
import { Times } from "./times.js";

export interface ListVerbs extends ItemVerbs {
  loadMore(): void;
  retry(): void;
}

const SIGNS = { all: CHECKS, unread: BELL, archived: ARCHIVE };
const EMPTY = { all: "emptyAll", unread: "emptyUnread", archived: "emptyArchived" } as const;

/** The scrolling part: messages, or what stands there when there are none. */
export class List {
  readonly element: HTMLElement;
  readonly #feed: HTMLElement;
  readonly #notice: HTMLElement;
  readonly #more: HTMLElement;
  readonly #times: Times;
  readonly #items = new Map<string, Item>();
  readonly #observer: IntersectionObserver | undefined;
  #current: string | undefined;
  #noticeShown = "";

  constructor(
    private readonly locale: Locale<InboxTexts>,
    private readonly verbs: ListVerbs,
  ) {
    this.#times = new Times(locale.tag);
    this.#feed = h("div", { role: "feed", class: "feed", part: "list", "aria-label": locale.text("title") });
    this.#notice = h("div", { class: "notice" });
    this.#more = h("div", { class: "more" });
    const attributes = { class: "scroller", id: "messages", role: "tabpanel", tabindex: -1, part: "scroller" };
    this.element = h("div", attributes, this.#feed, this.#notice, this.#more);
    this.element.addEventListener("keydown", (event) => this.#onKey(event));
    this.element.addEventListener("focusin", (event) => {
      const id = (event.target as Element).closest<HTMLElement>(".item")?.dataset["id"];
      if (id !== undefined) this.#setCurrent(id);
    });
    if (typeof IntersectionObserver === "undefined") return;
    this.#observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) verbs.loadMore();
      },
      { root: this.element, rootMargin: "400px" },
    );
  }

  /** Show a state. */
  update(state: InboxState): void {
    const { messages, view, loading, error, hasMore } = state;
    setAttribute(this.element, "aria-labelledby", `view-${view}`);
    setAttribute(this.#feed, "aria-busy", String(loading !== "no"));
    this.#reconcile(messages);
    this.#feed.hidden = !messages.length;
    const notice = messages.length ? "" : error ? "error" : loading === "first" || hasMore ? "loading" : EMPTY[view];
    if (notice !== this.#noticeShown) this.#showNotice(notice, view);
    this.#showMore(hasMore && messages.length > 0, !!error);
    // A page that did not fill the view does not scroll: look again.
    if (hasMore && loading === "no" && !error) this.#observe();
  }

  tick(): void {
    for (const item of this.#items.values()) item.tick();
  }

  /** Put the focus on the message that had it last, or on the first one. */
  focus(): void {
    (this.#itemAt(this.#index()) ?? this.element).focus({ preventScroll: true });
  }

  /** Go back to the top; another view begins there. */
  restart(): void {
    this.#current = undefined;
    this.element.scrollTop = 0;
  }

  end(): void {
    this.#observer?.disconnect();
  }

  #reconcile(messages: readonly Message[]): void {
    const index = this.#index();
    const hadFocus = this.#hasFocus();
    const wanted = new Set(messages.map(({ id }) => id));
    const isFirst = this.#items.size === 0;
    for (const [id, item] of this.#items) {
      if (wanted.has(id)) continue;
      item.element.remove();
      this.#items.delete(id);
    }
    let before: Element | null = this.#feed.firstElementChild;
    messages.forEach((message, position) => {
      let item = this.#items.get(message.id);
      if (!item?.update(message)) {
        item?.element.remove();
        if (before === item?.element) before = this.#feed.children[position] ?? null;
        item = makeItem(message, this.locale, this.#times, this.verbs);
        item.setCurrent(false);
        if (!isFirst && position === 0) arrive(item.element);
        this.#items.set(message.id, item);
      }
      if (before === item.element) before = before.nextElementSibling;
      else this.#feed.insertBefore(item.element, before);
      setAttribute(item.element, "aria-posinset", position + 1);
      setAttribute(item.element, "aria-setsize", -1);
    });
    if (this.#current === undefined || !wanted.has(this.#current)) {
      this.#setCurrent(messages[Math.min(Math.max(index, 0), messages.length - 1)]?.id);
    }
    if (hadFocus && !this.#hasFocus()) this.focus();
  }

  #hasFocus(): boolean {
    const focused = (this.element.getRootNode() as ShadowRoot).activeElement;
    return !!focused && this.element.contains(focused);
  }

  #setCurrent(id: string | undefined): void {
    if (this.#current !== undefined) this.#items.get(this.#current)?.setCurrent(false);
    this.#current = id;
    if (id !== undefined) this.#items.get(id)?.setCurrent(true);
  }

  #index(): number {
    const current = this.#current === undefined ? undefined : this.#items.get(this.#current)?.element;
    return current ? [...this.#feed.children].indexOf(current) : 0;
  }

  #itemAt(index: number): HTMLElement | undefined {
    return this.#feed.children[index] as HTMLElement | undefined;
  }

  #onKey(event: KeyboardEvent): void {
    const last = this.#feed.children.length - 1;
    const index = this.#index();
    const goals: Record<string, number> = {
      ArrowDown: Math.min(index + 1, last),
      ArrowUp: Math.max(index - 1, 0),
      Home: 0,
      End: last,
    };
    const goal = goals[event.key];
    if (goal !== undefined) {
      event.preventDefault();
      this.#itemAt(goal)?.focus();
    } else if (event.key === "Enter" && (event.target as Element).matches(".item")) {
      const item = event.target as HTMLElement;
      (item.querySelector<HTMLElement>(".cover") ?? item).click();
    }
  }

  #showNotice(notice: string, view: InboxState["view"]): void {
    this.#noticeShown = notice;
    const text = this.locale.text.bind(this.locale);
    if (notice === "loading") {
      this.#notice.replaceChildren(...loadingNotice(this.locale));
    } else if (notice === "error") {
      this.#notice.replaceChildren(errorNotice(this.locale, () => this.verbs.retry()));
    } else if (notice) {
      const name = EMPTY[view];
      this.#notice.replaceChildren(
        h(
          "div",
          { class: "state", part: "empty" },
          h("div", { class: "sign" }, icon(SIGNS[view])),
          h("p", { class: "state-title" }, text(name)),
          h("p", { class: "state-hint" }, text(`${name}Hint`)),
        ),
      );
    } else {
      this.#notice.replaceChildren();
    }
  }

  #showMore(hasMore: boolean, hasFailed: boolean): void {
    this.#more.hidden = !hasMore;
    const wanted = hasFailed ? "retry" : "spinner";
    if (this.#more.dataset["shows"] === wanted) return;
    this.#more.dataset["shows"] = wanted;
    const spinner = h("span", { class: "spinner", part: "spinner" });
    this.#more.replaceChildren(hasFailed ? retryButton(this.locale, () => this.verbs.retry()) : spinner);
  }

  #observe(): void {
    this.#observer?.unobserve(this.#more);
    this.#observer?.observe(this.#more);
  }
}

/** Let a new message be seen to arrive; once, not each time that the panel is opened. */
function arrive(element: HTMLElement): void {
  element.classList.add("arriving");
  setTimeout(() => element.classList.remove("arriving"), 400);
}
