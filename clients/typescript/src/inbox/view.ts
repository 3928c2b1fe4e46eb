import type { InboxState, Message, View } from "../client/index.js";
import { h, icon, setAttribute } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { BELL, CHECKS, CROSS, SPEAKER, SPEAKER_OFF } from "./icons.js";
import { label } from "./item.js";
import { List, type ListVerbs } from "./list.js";
import type { InboxTexts } from "./texts.js";

const VIEWS: readonly View[] = ["all", "unread", "archived"];
const MOST_COUNTED = 99;
const TOAST_FOR = 6_000;

export interface ViewVerbs extends ListVerbs {
  toggle(): void;
  close(): void;
  mute(): void;
  show(view: View): void;
  markAllRead(): void;
  reconnect(): void;
}

type Trouble = "" | "offline" | "reconnecting" | "refused" | "unauthenticated";

/** What the inbox looks like: the bell, and the panel with everything in it. */
export class InboxView {
  readonly element: HTMLElement;
  readonly bell: HTMLButtonElement;
  readonly panel: HTMLElement;
  readonly list: List;
  readonly #badge: HTMLElement;
  readonly #tabs: Map<View, HTMLButtonElement>;
  readonly #tabCount: HTMLElement;
  readonly #markAll: HTMLButtonElement;
  readonly #mute: HTMLButtonElement;
  readonly #trouble: HTMLElement;
  readonly #toast: HTMLElement;
  readonly #polite: HTMLElement;
  readonly #urgent: HTMLElement;
  #unread = 0;
  #toastTimer: unknown;

  constructor(
    private readonly locale: Locale<InboxTexts>,
    private readonly verbs: ViewVerbs,
  ) {
    const text = locale.text.bind(locale);
    this.#badge = h("span", { class: "badge", part: "badge", "aria-hidden": "true", hidden: true });
    const opens = { "aria-haspopup": "dialog", "aria-expanded": "false" };
    this.bell = h(
      "button",
      { class: "bell", part: "bell", type: "button", ...opens, onclick: verbs.toggle },
      h("slot", { name: "bell" }, icon(BELL)),
      this.#badge,
    );
    this.#tabCount = h("span", { class: "count", hidden: true });
    this.#tabs = new Map(VIEWS.map((view) => [view, this.#tab(view)]));
    this.#markAll = iconButton("mark-all-read", text("markAllRead"), CHECKS, verbs.markAllRead);
    this.#mute = iconButton("mute", text("mute"), SPEAKER, verbs.mute);
    this.#trouble = h("div", { class: "trouble", part: "offline", role: "status", hidden: true });
    this.#toast = h("div", { class: "toast", part: "toast", role: "status" });
    this.list = new List(locale, verbs);
    this.panel = h(
      "div",
      { class: "panel", part: "panel", role: "dialog", "aria-modal": "true", "aria-labelledby": "title", tabindex: -1 },
      h(
        "div",
        { class: "header", part: "header" },
        h("h2", { class: "heading", part: "title", id: "title" }, text("title")),
        this.#markAll,
        this.#mute,
        iconButton("close", text("close"), CROSS, verbs.close),
      ),
      h(
        "div",
        { class: "tabs", part: "tabs", role: "tablist", "aria-label": text("title"), onkeydown: this.#onTabKey },
        ...this.#tabs.values(),
      ),
      this.#trouble,
      this.list.element,
      this.#toast,
    );
    this.#polite = h("div", { class: "only-heard", "aria-live": "polite" });
    this.#urgent = h("div", { class: "only-heard", "aria-live": "assertive" });
    this.element = h("div", { class: "inbox", lang: locale.tag }, this.bell, this.#polite, this.#urgent, this.panel);
    this.#showCount(0);
    this.#select("all");
  }

  show(state: InboxState): void {
    this.#showCount(state.unread ?? 0);
    this.#select(state.view);
    this.#markAll.disabled = !state.unread;
    this.list.update(state);
  }

  showOpen(open: boolean): void {
    setAttribute(this.bell, "aria-expanded", String(open));
    if (!open) this.#hideToast();
  }

  showMuted(muted: boolean): void {
    label(this.#mute, this.locale.text(muted ? "unmute" : "mute"), muted ? SPEAKER_OFF : SPEAKER);
  }

  /** Say what is wrong with the connection; nothing if all is well. */
  showStatus(trouble: Trouble): void {
    this.#trouble.hidden = !trouble;
    if (!trouble) return this.#trouble.replaceChildren();
    const isFinal = trouble === "refused" || trouble === "unauthenticated";
    const sign = h("span", { class: isFinal ? "pulse still" : "pulse", "aria-hidden": "true" });
    const again = h("button", { class: "link", type: "button", onclick: this.verbs.reconnect }, this.locale.text("retry"));
    this.#trouble.replaceChildren(sign, h("span", { class: "grow" }, this.locale.text(trouble)), isFinal ? again : "");
  }

  /** Tell those who can not see it, and ring the bell for those who can. */
  announce(message: Message): void {
    const region = message.priority === "urgent" ? this.#urgent : this.#polite;
    region.textContent = `${this.locale.text("isNew")}: ${message.title || message.body}`;
    this.bell.classList.remove("rings");
    void this.bell.offsetWidth; // begin the animation anew
    this.bell.classList.add("rings");
  }

  /** Say something for a moment. */
  say(words: string, ...more: Node[]): void {
    clearTimeout(this.#toastTimer as number);
    this.#toast.replaceChildren(h("div", { class: "toasted" }, h("span", { class: "grow" }, words), ...more));
    this.#toastTimer = setTimeout(() => this.#hideToast(), TOAST_FOR);
  }

  /** Say something that can be undone. */
  offerUndo(words: string, undo: () => void): void {
    const onclick = (): void => {
      undo();
      this.#hideToast();
      this.list.focus();
    };
    this.say(words, h("button", { class: "link", type: "button", onclick }, this.locale.text("undo")));
  }

  #hideToast(): void {
    clearTimeout(this.#toastTimer as number);
    this.#toast.replaceChildren();
  }

  #showCount(unread: number): void {
    const shown = unread > MOST_COUNTED ? `${this.locale.number(MOST_COUNTED)}+` : this.locale.number(unread);
    this.#badge.textContent = this.#tabCount.textContent = shown;
    this.#badge.hidden = this.#tabCount.hidden = !unread;
    this.#badge.classList.toggle("grew", unread > this.#unread);
    this.#unread = unread;
    setAttribute(this.bell, "aria-label", unread ? this.locale.text("bell", unread) : this.locale.text("title"));
  }

  #tab(view: View): HTMLButtonElement {
    const attributes = { class: "tab", part: "tab", role: "tab", type: "button", "aria-controls": "messages" };
    const onclick = (): void => this.verbs.show(view);
    return h("button", { ...attributes, id: `view-${view}`, onclick }, this.locale.text(view), view === "unread" && this.#tabCount);
  }

  #select(view: View): void {
    for (const [name, tab] of this.#tabs) {
      setAttribute(tab, "aria-selected", String(name === view));
      tab.tabIndex = name === view ? 0 : -1;
    }
  }

  readonly #onTabKey = (event: KeyboardEvent): void => {
    const tabs = [...this.#tabs.values()];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const index = tabs.indexOf(event.target as HTMLButtonElement);
    if (event.key === "ArrowDown") this.list.focus();
    else if (step && index >= 0) tabs[(index + step + tabs.length) % tabs.length]?.focus();
    else return;
    event.preventDefault();
  };
}

function iconButton(part: string, name: string, path: string, onclick: () => void): HTMLButtonElement {
  const button = h("button", { class: "round", part, type: "button", onclick });
  button.dataset["verb"] = part;
  label(button, name, path);
  return button;
}
