import { avatar, h, iconButton, ICONS, others, setText, titleOf, type Context } from "./parts.js";

/** Above the messages: whom one talks to, how they are, and the way back to the list. */
export class ThreadHeader {
  readonly element: HTMLElement;
  readonly #title = h("h2");
  readonly #subtitle = h("p");
  readonly #disc = h("span", { class: "disc" });
  readonly #dot = h("span", { class: "dot" });

  constructor(
    private readonly context: Context,
    private readonly id: string,
    back: () => void,
  ) {
    const goBack = iconButton(context.locale.text("back"), ICONS.back, back, { class: "back" });
    this.element = h("header", {}, goBack, this.#disc, h("div", { class: "whom" }, this.#title, this.#subtitle));
  }

  /** What the conversation is called; empty until that is known. */
  get title(): string {
    return this.#title.textContent ?? "";
  }

  render(): void {
    const { client, locale } = this.context;
    const conversation = client.conversation(this.id);
    if (!conversation) return;
    const title = titleOf(this.context, conversation);
    if (this.#title.textContent !== title) {
      setText(this.#title, title);
      this.#disc.replaceChildren(avatar(title), this.#dot);
    }
    const [other] = others(this.context, this.id);
    const isDirect = conversation.kind === "direct";
    const presence = isDirect && other ? client.presence(other.user_id) : "offline";
    this.#dot.dataset["presence"] = presence;
    setText(this.#subtitle, isDirect ? locale.text(presence) : locale.text("people", conversation.participant_count));
  }
}
