import type { ChatFile, ChatMessage } from "../client/index.js";
import { Composer } from "./composer.js";
import { Handles } from "./handles.js";
import { ThreadHeader } from "./header.js";
import { drawMessage, drawSystem, drawTools, signature, type Actions, type Shown } from "./message.js";
import { arrange, h, icon, iconButton, ICONS, nameOf, notice, reasonOf, setAttribute, setText, type Context } from "./parts.js";
import { grouped, type Entry } from "./timeline.js";

/** Pixels from the end within which somebody counts as being there, and from the beginning to load what is older. */
const NEAR_END = 48;
const NEAR_BEGINNING = 240;

/** One conversation: its messages, who is here and who types, and where one writes. */
export class ThreadView implements Actions {
  readonly element: HTMLElement;
  readonly #log = h("div", { class: "log", tabindex: "0", role: "log", "aria-live": "off" });
  readonly #items = h("div", { class: "items" });
  readonly #older = h("div", { class: "older", hidden: true });
  readonly #state = h("div", { class: "state", hidden: true });
  readonly #typing = h("p", { class: "typing", role: "status" });
  readonly #heard = h("p", { class: "only-heard", role: "status" });
  readonly #problem = h("p", { class: "problem", role: "alert", hidden: true });
  readonly #latest: HTMLButtonElement;
  readonly #header: ThreadHeader;
  readonly #composer: Composer;
  readonly #handles: Handles;
  readonly #drawn = new Map<string, { signature: string; element: HTMLElement; shown?: Shown }>();
  readonly #seen: IntersectionObserver;
  readonly #resized: ResizeObserver;
  /** Number of the first message that is drawn. */
  #oldest = 0;
  #isSeen = false;
  #isAtEnd = true;
  #isLoading = false;
  #failure: string | undefined;
  /** The first unread message when the conversation was opened. */
  #freshFrom = Number.POSITIVE_INFINITY;

  constructor(
    private readonly context: Context,
    readonly id: string,
    back: () => void,
  ) {
    const { locale } = context;
    this.#composer = new Composer(context, this.#writing(), locale.text("write"));
    this.#latest = iconButton(locale.text("latest"), ICONS.down, () => this.#goToEnd(), { class: "latest" });
    setAttribute(this.#log, "aria-label", locale.text("messages"));
    this.#older.append(h("span", {}, locale.text("loading")));
    this.#log.append(this.#older, this.#state, this.#items);
    this.#header = new ThreadHeader(context, id, back);
    this.#handles = new Handles(this.#log, this.#items, {
      draw: (article) => {
        const shown = [...this.#drawn.values()].find((each) => each.element === article)?.shown;
        return shown && drawTools(context, shown, this);
      },
      leave: () => this.focus(),
    });
    this.element = h(
      "section",
      { class: "thread" },
      this.#header.element,
      h("div", { class: "scroller" }, this.#log, this.#latest),
      this.#problem,
      this.#typing,
      this.#heard,
      this.#composer.element,
    );
    this.#listen();
    this.#seen = new IntersectionObserver(([entry]) => {
      this.#isSeen = entry?.isIntersecting ?? false;
      this.#markRead();
    });
    this.#resized = new ResizeObserver(() => {
      if (this.#isAtEnd) this.#scrollToEnd();
    });
    this.#seen.observe(this.#log);
    this.#resized.observe(this.#log);
    this.#resized.observe(this.#items);
  }

  /** Load the messages, if need be, and draw them. */
  async open(): Promise<void> {
    this.#failure = undefined;
    this.render();
    try {
      await this.context.client.open(this.id);
      const { last_read_seq, unread_count } = this.context.client.conversation(this.id) ?? {};
      if (unread_count) this.#freshFrom = (last_read_seq ?? 0) + 1;
    } catch (error) {
      this.#failure = reasonOf(error);
    }
    this.render();
    if (this.#isAtEnd) this.#goToFresh(); // else somebody has scrolled up meanwhile, and reads there
    this.#markRead();
  }

  close(): void {
    this.#seen.disconnect();
    this.#resized.disconnect();
    document.removeEventListener("visibilitychange", this.#lookedAt);
    window.removeEventListener("focus", this.#lookedAt);
    this.context.client.stopTyping(this.id);
  }

  focus(): void {
    this.#composer.focus();
  }

  attach(file: File | undefined): void {
    this.#composer.attach(file);
  }

  /** Say what somebody else has just written to who can not see it. */
  announce(message: ChatMessage): void {
    const { locale } = this.context;
    const name = nameOf(this.context, this.id, message.sender_id, message.sender_name);
    setText(this.#heard, `${locale.about("said", name)} ${message.text || message.file?.name || ""}`);
  }

  render(): void {
    this.#header.render();
    setAttribute(this.element, "aria-label", this.#header.title || undefined);
    this.#renderState();
    this.#renderMessages();
    this.#renderTyping();
    this.#markRead();
  }

  // --- Drawing --------------------------------------------------------------------------------------------------------

  #renderState(): void {
    const { client, locale } = this.context;
    const log = client.log(this.id);
    const state = log.isLoaded ? (log.messages.length ? "" : "begin") : this.#failure ? "failed" : "loading";
    setAttribute(this.#older, "hidden", !log.hasOlder);
    setAttribute(this.#log, "aria-busy", state === "loading" ? "true" : undefined);
    if (this.#state.dataset["state"] === state) return;
    this.#state.dataset["state"] = state;
    setAttribute(this.#state, "hidden", !state);
    const again = h("button", { type: "button", class: "plain", onclick: () => void this.open() }, locale.text("again"));
    this.#state.replaceChildren();
    if (state === "begin") this.#state.append(notice(ICONS.chat, locale.text("begin")));
    if (state === "failed") this.#state.append(notice(ICONS.warning, locale.text("loadFailed"), this.#failure, again));
    if (state === "loading") this.#state.append(h("p", { class: "loading", role: "status" }, locale.text("loading")));
  }

  #renderMessages(): void {
    const { client } = this.context;
    const log = client.log(this.id);
    const focused = this.#focusedAction();
    const oldHeight = this.#log.scrollHeight;
    const oldest = log.messages[0]?.seq ?? 0;
    const entries = grouped(this.context, this.id, this.#freshFrom);
    const keys = new Set(entries.map((each) => each.key));
    for (const key of this.#drawn.keys()) if (!keys.has(key)) this.#drawn.delete(key);
    arrange(this.#items, entries.map((each) => this.#draw(each)));
    if (this.#isAtEnd) this.#scrollToEnd();
    else if (oldest < this.#oldest) this.#log.scrollTop += this.#log.scrollHeight - oldHeight; // it stays where it is
    this.#oldest = oldest;
    setAttribute(this.#older, "hidden", !log.hasOlder);
    this.#restore(focused);
    this.#renderLatest();
  }

  #draw(entry: Entry): HTMLElement {
    const wanted = entry.kind === "message" ? signature(entry.shown) : entry.text;
    const before = this.#drawn.get(entry.key);
    if (before?.signature === wanted) {
      if (entry.kind === "message") before.shown = entry.shown;
      return before.element;
    }
    const element = this.#drawNew(entry);
    this.#drawn.set(entry.key, { signature: wanted, element, ...(entry.kind === "message" && { shown: entry.shown }) });
    return element;
  }

  #drawNew(entry: Entry): HTMLElement {
    if (entry.kind === "message") {
      const { message } = entry.shown;
      return message?.message_type === "system" ? drawSystem(message) : drawMessage(this.context, entry.shown, this);
    }
    return h("p", { class: entry.kind, role: "separator", "aria-label": entry.text }, h("span", {}, entry.text));
  }

  #renderTyping(): void {
    const { client, locale } = this.context;
    const [first, ...more] = client.typing(this.id);
    const isShown = this.#typing.dataset["user"] ?? "";
    const wanted = first ? (more.length ? "*" : first) : "";
    if (isShown === wanted) return;
    this.#typing.dataset["user"] = wanted;
    this.#typing.replaceChildren();
    if (!first) return;
    const words = more.length ? locale.text("typingMany") : locale.about("typing", nameOf(this.context, this.id, first));
    this.#typing.append(h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), words);
  }

  #renderLatest(): void {
    const unread = this.context.client.conversation(this.id)?.unread_count ?? 0;
    setAttribute(this.#latest, "hidden", this.#isAtEnd);
    this.#latest.dataset["count"] = unread ? String(unread) : "";
  }

  // --- Scrolling and reading ------------------------------------------------------------------------------------------

  #listen(): void {
    this.#log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    document.addEventListener("visibilitychange", this.#lookedAt);
    window.addEventListener("focus", this.#lookedAt);
  }

  readonly #lookedAt = (): void => this.#markRead();

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.#renderLatest();
    this.#markRead();
    if (scrollTop < NEAR_BEGINNING) void this.#loadOlder();
  }

  async #loadOlder(): Promise<void> {
    const { client } = this.context;
    if (this.#isLoading || !client.log(this.id).hasOlder) return;
    this.#isLoading = true;
    try {
      await client.loadOlder(this.id);
    } catch (error) {
      this.#explain(error);
    } finally {
      this.#isLoading = false;
    }
  }

  #scrollToEnd(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #goToEnd(): void {
    this.#isAtEnd = true;
    this.#scrollToEnd();
    this.#markRead();
    this.focus();
  }

  /** Begin to read where the new messages begin, if they are more than a screen. */
  #goToFresh(): void {
    const fresh = this.#items.querySelector<HTMLElement>(".fresh");
    this.#scrollToEnd();
    if (fresh && fresh.offsetTop < this.#log.scrollTop) this.#log.scrollTop = fresh.offsetTop - NEAR_END;
    this.#scrolled();
  }

  /** What stands on a page that somebody looks at is read. */
  #markRead(): void {
    const log = this.context.client.log(this.id);
    const isLookedAt = this.#isSeen && document.visibilityState === "visible" && document.hasFocus();
    if (isLookedAt && this.#isAtEnd && log.isLoaded) this.context.client.markRead(this.id, log.lastSeq);
  }

  // --- The focus, while messages are drawn anew -----------------------------------------------------------------------

  /** Which message has the focus, before it may be drawn anew. */
  #focusedAction(): string | undefined {
    const root = this.#items.getRootNode();
    const active = root instanceof ShadowRoot ? root.activeElement : null;
    if (!active || !this.#items.contains(active)) return undefined;
    return [...this.#drawn].find(([, { element }]) => element.contains(active))?.[0];
  }

  #restore(key: string | undefined): void {
    if (key === undefined) return;
    const element = this.#drawn.get(key)?.element;
    const root = this.#items.getRootNode() as ShadowRoot;
    if (element?.contains(root.activeElement)) return;
    if (element) element.focus({ preventScroll: true });
    else this.focus();
  }

  // --- What can be done with messages ---------------------------------------------------------------------------------

  reply(message: ChatMessage): void {
    this.#composer.reply(message);
  }

  edit(message: ChatMessage): void {
    this.#composer.edit(message);
  }

  remove(message: ChatMessage): void {
    this.#handles.removeTools();
    this.#try(this.context.client.remove(message));
    this.focus();
  }

  react(message: ChatMessage, emoji: string, present: boolean): void {
    this.#try(this.context.client.react(message, emoji, present));
    this.#handles.removeTools();
  }

  retry(clientMessageId: string): void {
    this.context.client.retry(clientMessageId);
    this.focus();
  }

  discard(clientMessageId: string): void {
    this.context.client.discard(clientMessageId);
    this.focus();
  }

  /** Go to a message that is answered, loading what lies between. */
  jump(messageId: string): void {
    this.#try(this.#jump(messageId));
  }

  async #jump(messageId: string): Promise<void> {
    const { client } = this.context;
    const log = client.log(this.id);
    while (!log.find(messageId) && log.hasOlder) {
      const before = log.messages.length;
      await client.loadOlder(this.id);
      if (log.messages.length === before) return;
    }
    this.#isAtEnd = false;
    this.render();
    const found = this.#items.querySelector<HTMLElement>(`[data-id="${CSS.escape(messageId)}"]`);
    found?.scrollIntoView({ block: "center" });
    found?.focus({ preventScroll: true });
    found?.animate?.([{ opacity: 0.35 }, { opacity: 1 }], { duration: 700 });
  }

  fetch(file: ChatFile): void {
    this.#try(this.#fetch(file));
  }

  async #fetch(file: ChatFile): Promise<void> {
    const href = await this.context.client.fileAddress(file);
    h("a", { href, target: "_blank", rel: "noopener noreferrer", download: file.name }).click();
  }

  #writing(): ConstructorParameters<typeof Composer>[1] {
    const { client } = this.context;
    return {
      send: (draft) => {
        this.#isAtEnd = true;
        this.#freshFrom = Number.POSITIVE_INFINITY;
        client.send(this.id, draft);
      },
      save: (message, text) => this.#try(client.edit(message, text)),
      typing: () => client.type(this.id),
      stoppedTyping: () => client.stopTyping(this.id),
      editLast: () => {
        if (client.outgoing(this.id).length) return; // the last one can not be changed yet
        const own = client.log(this.id).messages.filter((each) => each.sender_id === client.userId && !each.deleted_at);
        const last = own.at(-1);
        if (last) this.edit(last);
      },
    };
  }

  #try(work: Promise<unknown>): void {
    setAttribute(this.#problem, "hidden", true);
    work.catch((error: unknown) => this.#explain(error));
  }

  #explain(error: unknown): void {
    const { locale } = this.context;
    const hide = (): void => setAttribute(this.#problem, "hidden", true);
    this.#problem.replaceChildren(icon(ICONS.warning), h("span", {}, `${locale.text("refusedChange")} ${reasonOf(error)}`), iconButton(locale.text("cancel"), ICONS.close, hide));
    setAttribute(this.#problem, "hidden", false);
  }
}
