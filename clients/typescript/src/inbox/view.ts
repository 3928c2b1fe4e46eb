import type { InboxState, Message } from "../client/index.js";
import { h, icon, setAttribute } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import type { Contents, Trouble } from "./contents.js";
import { BELL, CROSS } from "./icons.js";
import { counted, errorNotice, iconButton, loadingNotice } from "./parts.js";
import type { InboxTexts } from "./texts.js";

export interface ViewVerbs {
  toggle(): void;
  close(): void;
  /** The contents are wanted now. `fill` or `showPending("error")` follows. */
  loadContents(): void;
}

/** What the inbox looks like at once: the bell, and a panel with a heading. The panel's contents come later. */
export class InboxView {
  readonly element: HTMLElement;
  readonly bell: HTMLButtonElement;
  readonly panel: HTMLElement;
  readonly #badge: HTMLElement;
  readonly #heading: HTMLElement;
  /** Stands for the contents until they are there. */
  readonly #pending = h("div");
  readonly #polite: HTMLElement;
  readonly #urgent: HTMLElement;
  #contents: Contents | undefined;
  #state: InboxState | undefined;
  #trouble: Trouble = "";
  #isMuted = false;
  #unread = 0;

  constructor(
    private readonly locale: Locale<InboxTexts>,
    private readonly verbs: ViewVerbs,
  ) {
    const text = locale.text.bind(locale);
    this.#badge = h("span", { class: "badge", part: "badge", "aria-hidden": "true", hidden: true });
    this.bell = h(
      "button",
      { class: "bell", part: "bell", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", onclick: verbs.toggle },
      h("slot", { name: "bell" }, icon(BELL)),
      this.#badge,
    );
    this.#heading = h("h2", { class: "heading", part: "title", id: "title" }, text("title"));
    this.panel = h(
      "div",
      { class: "panel", part: "panel", role: "dialog", "aria-modal": "true", "aria-labelledby": "title", tabindex: -1 },
      h("div", { class: "header", part: "header" }, this.#heading, iconButton("close", text("close"), CROSS, verbs.close)),
      this.#pending,
    );
    this.#polite = h("div", { class: "only-heard", "aria-live": "polite" });
    this.#urgent = h("div", { class: "only-heard", "aria-live": "assertive" });
    this.element = h("div", { class: "inbox", lang: locale.tag }, this.bell, this.#polite, this.#urgent, this.panel);
    this.#showCount(0);
  }

  get isFilled(): boolean {
    return this.#contents !== undefined;
  }

  /** Fill the panel. Who waits in it for its contents is led to them. */
  fill(contents: Contents): void {
    const focused = (this.panel.getRootNode() as ShadowRoot).activeElement;
    const waits = focused === this.panel || this.#pending.contains(focused);
    this.#contents = contents;
    this.#heading.after(...contents.buttons);
    this.#pending.replaceWith(...contents.parts);
    if (this.#state) contents.show(this.#state);
    contents.showMuted(this.#isMuted);
    contents.showTrouble(this.#trouble);
    if (waits) contents.focus();
  }

  /** Show that the contents are on their way, or that they could not be loaded. */
  showPending(notice: "loading" | "error"): void {
    const retry = (): void => {
      this.panel.focus(); // the button goes
      this.#load();
    };
    const shown = notice === "loading" ? loadingNotice(this.locale) : [errorNotice(this.locale, retry)];
    this.#pending.replaceChildren(...shown);
  }

  #load(): void {
    this.showPending("loading");
    this.verbs.loadContents();
  }

  end(): void {
    this.#contents?.end();
    this.element.remove();
  }

  show(state: InboxState): void {
    this.#state = state;
    this.#showCount(state.unread ?? 0);
    this.#contents?.show(state);
  }

  showOpen(open: boolean): void {
    setAttribute(this.bell, "aria-expanded", String(open));
    if (!open) this.#contents?.hush();
    else if (this.#contents) this.#contents.tick();
    else this.#load();
  }

  /** Put the focus into the open panel: on a message, if they are there. */
  focus(): void {
    if (this.#contents) this.#contents.focus();
    else this.panel.focus({ preventScroll: true });
  }

  showMuted(muted: boolean): void {
    this.#isMuted = muted;
    this.#contents?.showMuted(muted);
  }

  /** Say what is wrong with the connection; nothing if all is well. */
  showTrouble(trouble: Trouble): void {
    this.#trouble = trouble;
    this.#contents?.showTrouble(trouble);
  }

  /** Say something for a moment to who has the panel open. */
  say(name: keyof InboxTexts): void {
    this.#contents?.say(this.locale.text(name));
  }

  /** Tell those who can not see it, and ring the bell for those who can. */
  announce(message: Message): void {
    const region = message.priority === "urgent" ? this.#urgent : this.#polite;
    region.textContent = `${this.locale.text("isNew")}: ${message.title || message.body}`;
    this.bell.classList.remove("rings");
    void this.bell.offsetWidth; // begin the animation anew
    this.bell.classList.add("rings");
  }

  #showCount(unread: number): void {
    this.#badge.textContent = counted(unread, this.locale);
    this.#badge.hidden = !unread;
    this.#badge.classList.toggle("grew", unread > this.#unread);
    this.#unread = unread;
    setAttribute(this.bell, "aria-label", unread ? this.locale.text("bell", unread) : this.locale.text("title"));
  }
}
