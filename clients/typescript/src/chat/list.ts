import type { Conversation } from "../client/index.js";
import { arrange, avatar, h, ICONS, notice, others, setAttribute, setText, summary, titleOf, type Context } from "./parts.js";

interface Row {
  readonly item: HTMLLIElement;
  readonly button: HTMLButtonElement;
  readonly disc: HTMLElement;
  readonly dot: HTMLElement;
  readonly title: HTMLElement;
  readonly time: HTMLElement;
  readonly preview: HTMLElement;
  readonly badge: HTMLElement;
  readonly heard: HTMLElement;
  name: string;
}

/** The list of conversations. */
export class ListView {
  readonly element: HTMLElement;
  readonly #rows = new Map<string, Row>();
  readonly #list = h("ul", { role: "list" });
  readonly #state = h("div", { class: "state" });
  readonly #title: HTMLElement;

  constructor(
    private readonly context: () => Context | undefined,
    private readonly choose: (id: string) => void,
    private readonly again: () => void,
  ) {
    this.#title = h("h2", { id: "chats" });
    this.element = h("nav", { class: "list", "aria-labelledby": "chats" }, h("header", {}, this.#title), this.#list, this.#state);
  }

  render(current: string | undefined): void {
    const context = this.context();
    if (!context) return;
    const { client, locale } = context;
    setText(this.#title, locale.text("chats"));
    const conversations = client.conversations;
    for (const id of this.#rows.keys()) if (!client.conversation(id)) this.#rows.delete(id);
    arrange(this.#list, conversations.map((each) => this.#row(context, each, each.id === current)));
    setAttribute(this.#list, "hidden", !conversations.length);
    this.#renderState(context);
  }

  /** Put the focus on a conversation, where somebody came back from. */
  focus(id: string | undefined): void {
    (this.#rows.get(id ?? "") ?? this.#rows.values().next().value)?.button.focus();
  }

  #renderState({ client, locale }: Context): void {
    const failed = !client.hasLoaded && client.failure;
    const state = client.conversations.length ? "" : failed ? "failed" : client.hasLoaded ? "empty" : "loading";
    if (this.#state.dataset["state"] === state) return;
    this.#state.dataset["state"] = state;
    this.#state.replaceChildren();
    setAttribute(this.#state, "hidden", !state);
    if (state === "failed") {
      const button = h("button", { type: "button", class: "plain", onclick: this.again }, locale.text("again"));
      this.#state.append(notice(ICONS.warning, locale.text("loadFailed"), client.failure?.detail, button));
    } else if (state === "empty") {
      this.#state.append(notice(ICONS.chat, locale.text("empty"), locale.text("emptyHint")));
    } else if (state === "loading") {
      this.#state.append(skeleton(), h("p", { class: "only-heard", role: "status" }, locale.text("loading")));
    }
  }

  #row(context: Context, conversation: Conversation, isCurrent: boolean): HTMLLIElement {
    const { client, locale } = context;
    let row = this.#rows.get(conversation.id);
    if (!row) this.#rows.set(conversation.id, (row = this.#newRow(conversation.id)));
    const name = titleOf(context, conversation);
    if (row.name !== name) {
      row.name = name;
      row.disc.replaceChildren(avatar(name), row.dot);
      setText(row.title, name);
    }
    const [other] = others(context, conversation.id);
    const presence = conversation.kind === "direct" && other ? client.presence(other.user_id) : "offline";
    row.dot.dataset["presence"] = presence;
    const last = conversation.last_message;
    const own = last?.sender_id === client.userId && !last.deleted_at ? `${locale.text("you")}: ` : "";
    setText(row.preview, last ? own + summary(context, last) : "");
    setText(row.time, last ? locale.brief(last.created_at) : "");
    const unread = conversation.unread_count ?? 0;
    setText(row.badge, unread > 99 ? "99+" : unread ? String(unread) : "");
    setAttribute(row.badge, "hidden", !unread);
    const facts = [presence === "offline" ? "" : locale.text(presence), unread ? locale.text("unread", unread) : ""];
    setText(row.heard, facts.filter(Boolean).join(", "));
    setAttribute(row.button, "aria-current", isCurrent ? "true" : undefined);
    setAttribute(row.item, "class", unread ? "unread" : undefined);
    return row.item;
  }

  #newRow(id: string): Row {
    const [dot, title, time] = [h("span", { class: "dot" }), h("span", { class: "title" }), h("span", { class: "time" })];
    const [preview, heard] = [h("span", { class: "preview" }), h("span", { class: "only-heard" })];
    const disc = h("span", { class: "disc" }, dot);
    const badge = h("span", { class: "badge", "aria-hidden": "true", hidden: true });
    const button = h("button", { type: "button", onclick: () => this.choose(id) }, disc, title, time, preview, badge, heard);
    return { item: h("li", {}, button), button, disc, dot, title, time, preview, badge, heard, name: "" };
  }
}

function skeleton(): HTMLElement {
  const bars = [1, 2, 3].map(() => h("div", {}, h("i"), h("b"), h("s")));
  return h("div", { class: "skeleton", "aria-hidden": "true" }, ...bars);
}
