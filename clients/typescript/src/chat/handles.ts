import { setReachable } from "./message.js";

export interface HandlesOptions {
  /** Draw what can be done with a message; undefined if nothing can. */
  draw(article: HTMLElement): HTMLElement | undefined;
  /** Escape was pressed. */
  leave(): void;
}

/** How one gets hold of messages: arrows go from one to the next, and where the pointer or the focus is, tools show. */
export class Handles {
  readonly #items: HTMLElement;
  readonly #options: HandlesOptions;
  #tools: HTMLElement | undefined;
  #current: HTMLElement | undefined;

  constructor(log: HTMLElement, items: HTMLElement, options: HandlesOptions) {
    this.#items = items;
    this.#options = options;
    log.addEventListener("keydown", (event) => this.#pressed(event));
    log.addEventListener("pointerleave", () => {
      if (!this.#tools?.matches(":focus-within")) this.removeTools();
    });
    items.addEventListener("pointerover", (event) => this.#offerTools(event.target));
    items.addEventListener("focusin", (event) => {
      this.#offerTools(event.target);
      this.#walkedTo(event.target);
    });
  }

  removeTools(): void {
    this.#tools?.remove();
    this.#tools = undefined;
  }

  /** Arrows walk through the messages. */
  #pressed(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowUp: -1, ArrowDown: 1, Home: Number.NEGATIVE_INFINITY, End: Number.POSITIVE_INFINITY };
    const step = steps[event.key];
    if (event.key === "Escape") return this.#options.leave();
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const messages = [...this.#items.querySelectorAll<HTMLElement>("article")];
    const root = this.#items.getRootNode() as ShadowRoot;
    const current = messages.findIndex((each) => each.contains(root.activeElement));
    const from = current < 0 && step < 0 ? messages.length : current;
    const next = messages[Math.max(0, Math.min(messages.length - 1, from + step))];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  /** The tab key goes through the message that has the focus, and past all others. */
  #walkedTo(target: EventTarget | null): void {
    const article = articleOf(target);
    if (!article || article === this.#current) return;
    if (this.#current) setReachable(this.#current, false);
    setReachable(article, true);
    this.#current = article;
  }

  #offerTools(target: EventTarget | null): void {
    const article = articleOf(target);
    if (!article || (this.#tools && article.contains(this.#tools))) return;
    if (this.#tools?.matches(":focus-within") && !article.matches(":focus-within")) return;
    this.removeTools();
    this.#tools = this.#options.draw(article);
    if (this.#tools) article.querySelector(".stack")?.append(this.#tools);
  }
}

function articleOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest("article") : null;
}
