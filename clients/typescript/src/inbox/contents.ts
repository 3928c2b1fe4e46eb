import type { Inbox, InboxState, View } from "../client/index.js";
import { h, setAttribute } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { CHECKS, SPEAKER, SPEAKER_OFF } from "./contents-icons.js";
import { english } from "./contents-texts.js";
import css from "./contents.css";
import { List, type ListVerbs } from "./list.js";
import { counted, iconButton, label } from "./parts.js";
import type { InboxTexts } from "./texts.js";

const VIEWS: readonly View[] = ["all", "unread", "archived"];
/** How long something is said, and the clock of “3 minutes ago”. Milliseconds. */
const TOAST_FOR = 6_000;
const TICK = 30_000;

/** Whose contents they are. */
export interface Host {
  toggleMute(): void;
  /** Dispatch an event. False if somebody has prevented what would follow. */
  tell(name: string, detail: unknown): boolean;
}

export type Trouble = "" | "offline" | "reconnecting" | "refused" | "unauthenticated";

/** What stands in the open panel. A file of its own: a page is quicker without, and few people open it at once. */
export class Contents {
  static readonly css = css;

  /** Beside the heading. */
  readonly buttons: readonly HTMLElement[];
  /** Below it. */
  readonly parts: readonly HTMLElement[];
  readonly #list: List;
  readonly #tabs: Map<View, HTMLButtonElement>;
  readonly #tabCount = h("span", { class: "count", hidden: true });
  readonly #markAll: HTMLButtonElement;
  readonly #mute: HTMLButtonElement;
  readonly #trouble = h("div", { class: "trouble", part: "offline", role: "status", hidden: true });
  readonly #toast = h("div", { class: "toast", part: "toast", role: "status" });
  readonly #clock = setInterval(() => this.tick(), TICK);
  #toastTimer: unknown;

  constructor(
    private readonly locale: Locale<InboxTexts>,
    private readonly host: Host,
    private readonly inbox: Inbox | undefined,
  ) {
    locale.complete(english);
    const text = locale.text.bind(locale);
    this.#markAll = iconButton("mark-all-read", text("markAllRead"), CHECKS, () => void inbox?.markAllRead());
    this.#mute = iconButton("mute", text("mute"), SPEAKER, host.toggleMute);
    this.#tabs = new Map(VIEWS.map((view) => [view, this.#tab(view)]));
    this.#list = new List(locale, this.#verbs());
    const tabs = { class: "tabs", part: "tabs", role: "tablist", "aria-label": text("title"), onkeydown: this.#onTabKey };
    this.buttons = [this.#markAll, this.#mute];
    this.parts = [h("div", tabs, ...this.#tabs.values()), this.#trouble, this.#list.element, this.#toast];
    this.#select("all");
  }

  end(): void {
    clearInterval(this.#clock);
    clearTimeout(this.#toastTimer as number);
    this.#list.end();
  }

  show(state: InboxState): void {
    const { unread = 0, view } = state;
    this.#tabCount.textContent = counted(unread, this.locale);
    this.#tabCount.hidden = !unread;
    this.#markAll.disabled = !unread;
    this.#select(view);
    this.#list.update(state);
  }

  showMuted(muted: boolean): void {
    label(this.#mute, this.locale.text(muted ? "unmute" : "mute"), muted ? SPEAKER_OFF : SPEAKER);
  }

  /** Say what is wrong with the connection; nothing if all is well. */
  showTrouble(trouble: Trouble): void {
    this.#trouble.hidden = !trouble;
    if (!trouble) return this.#trouble.replaceChildren();
    const isFinal = trouble === "refused" || trouble === "unauthenticated";
    const sign = h("span", { class: isFinal ? "pulse still" : "pulse", "aria-hidden": "true" });
    const again = h("button", { class: "link", type: "button", onclick: () => this.inbox?.client.start() }, this.locale.text("retry"));
    this.#trouble.replaceChildren(sign, h("span", { class: "grow" }, this.locale.text(trouble)), isFinal ? again : "");
  }

  /** Say something for a moment. */
  say(words: string, ...more: Node[]): void {
    clearTimeout(this.#toastTimer as number);
    this.#toast.replaceChildren(h("div", { class: "toasted" }, h("span", { class: "grow" }, words), ...more));
    this.#toastTimer = setTimeout(() => this.hush(), TOAST_FOR);
  }

  /** Say no longer what was said for a moment. */
  hush(): void {
    clearTimeout(this.#toastTimer as number);
    this.#toast.replaceChildren();
  }

  tick(): void {
    this.#list.tick();
  }

  focus(): void {
    this.#list.focus();
  }

  #verbs(): ListVerbs {
    const { host, inbox } = this;
    return {
      loadMore: () => inbox?.loadMore(),
      retry: () => (inbox?.state.messages.length ? inbox.loadMore() : inbox?.reload()),
      open: (message) => {
        void inbox?.setRead(message);
        return host.tell("notification-open", message);
      },
      act: (message, action) => {
        void inbox?.setRead(message);
        return host.tell("notification-action", { message, action });
      },
      setRead: (message, read) => void inbox?.setRead(message, read),
      setArchived: (message, archived) => {
        void inbox?.setArchived(message, archived);
        if (archived) this.#offerUndo(this.locale.text("archivedNow"), () => void inbox?.setArchived(message, false));
      },
    };
  }

  #offerUndo(words: string, undo: () => void): void {
    const onclick = (): void => {
      undo();
      this.hush();
      this.focus();
    };
    this.say(words, h("button", { class: "link", type: "button", onclick }, this.locale.text("undo")));
  }

  #tab(view: View): HTMLButtonElement {
    const attributes = { class: "tab", part: "tab", role: "tab", type: "button", id: `view-${view}`, "aria-controls": "messages" };
    const onclick = (): void => {
      this.inbox?.show(view);
      this.#list.restart();
    };
    return h("button", { ...attributes, onclick }, this.locale.text(view), view === "unread" && this.#tabCount);
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
    if (event.key === "ArrowDown") this.focus();
    else if (step && index >= 0) tabs[(index + step + tabs.length) % tabs.length]?.focus();
    else return;
    event.preventDefault();
  };
}
