import type { ChatMessage, Draft } from "../client/index.js";
import { h, icon, iconButton, ICONS, setAttribute, summary, type Context } from "./parts.js";

export interface ComposerActions {
  send(draft: Draft): void;
  save(message: ChatMessage, text: string): void;
  typing(): void;
  stoppedTyping(): void;
  /** Arrow up in an empty field. */
  editLast(): void;
}

interface Unsent {
  text: string;
  file: File | undefined;
  reply: ChatMessage | undefined;
}

const LONGEST = 4_000;
const TALLEST = 140;

/** Where one writes: text, a file, what it answers; or the new words of a message. */
export class Composer {
  readonly element: HTMLElement;
  readonly #field: HTMLTextAreaElement;
  readonly #picker: HTMLInputElement;
  readonly #send: HTMLButtonElement;
  readonly #about = h("div", { class: "about", hidden: true });
  readonly #chip = h("div", { class: "chip", hidden: true });
  #file: File | undefined;
  #reply: ChatMessage | undefined;
  #editing: ChatMessage | undefined;
  #unsent: Unsent | undefined;

  constructor(
    private readonly context: Context,
    private readonly actions: ComposerActions,
    label: string,
  ) {
    const { locale } = context;
    this.#field = h("textarea", {
      rows: "1",
      maxlength: LONGEST,
      "aria-label": label,
      placeholder: locale.text("write"),
      enterkeyhint: "send",
      oninput: () => this.#typed(),
      onkeydown: (event: KeyboardEvent) => this.#pressed(event),
      onblur: () => this.actions.stoppedTyping(),
      onpaste: (event: ClipboardEvent) => this.attach(event.clipboardData?.files[0]),
    });
    this.#picker = h("input", { type: "file", class: "only-heard", tabindex: "-1", "aria-hidden": "true", onchange: () => this.#picked() });
    this.#send = h("button", { type: "submit", class: "send", "aria-label": locale.text("send"), title: locale.text("send") }, icon(ICONS.send));
    const onsubmit = (event: Event): void => {
      event.preventDefault();
      this.#submit();
    };
    const clip = iconButton(locale.text("attach"), ICONS.attach, () => this.#picker.click(), { class: "clip" });
    const row = h("div", { class: "row" }, clip, this.#picker, this.#field, this.#send);
    this.element = h("form", { class: "composer", onsubmit }, this.#about, this.#chip, row);
    this.#update();
  }

  focus(): void {
    this.#field.focus();
  }

  get isEmpty(): boolean {
    return !this.#field.value.trim() && !this.#file;
  }

  /** Answer a message. */
  reply(message: ChatMessage): void {
    this.#endEditing();
    this.#reply = message;
    this.#update();
    this.focus();
  }

  /** Change the words of a message; what was begun before comes back afterwards. */
  edit(message: ChatMessage): void {
    if (!this.#editing) this.#unsent = { text: this.#field.value, file: this.#file, reply: this.#reply };
    this.#editing = message;
    [this.#file, this.#reply] = [undefined, undefined];
    this.#field.value = message.text;
    this.#update();
    this.focus();
    this.#field.setSelectionRange(message.text.length, message.text.length);
  }

  attach(file: File | undefined): void {
    if (!file || this.#editing) return;
    this.#file = file;
    this.#update();
    this.focus();
  }

  #picked(): void {
    this.attach(this.#picker.files?.[0]);
    this.#picker.value = "";
  }

  #typed(): void {
    this.#update();
    if (this.isEmpty) this.actions.stoppedTyping();
    else if (!this.#editing) this.actions.typing();
  }

  #pressed(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && (this.#editing || this.#reply)) {
      event.stopPropagation();
      this.#cancel();
    } else if (event.key === "ArrowUp" && this.isEmpty && !this.#editing) {
      event.preventDefault();
      this.actions.editLast();
    }
  }

  #submit(): void {
    if (this.isEmpty) return;
    const text = this.#field.value.trim();
    if (this.#editing) {
      this.actions.save(this.#editing, text);
      this.#endEditing();
    } else {
      this.actions.send({ text, replyTo: this.#reply?.id, file: this.#file });
      [this.#field.value, this.#file, this.#reply] = ["", undefined, undefined];
    }
    this.#update();
    this.focus();
  }

  #cancel(): void {
    if (this.#editing) this.#endEditing();
    else this.#reply = undefined;
    this.#update();
    this.focus();
  }

  #endEditing(): void {
    if (!this.#editing) return;
    this.#editing = undefined;
    this.#field.value = this.#unsent?.text ?? "";
    [this.#file, this.#reply, this.#unsent] = [this.#unsent?.file, this.#unsent?.reply, undefined];
  }

  #update(): void {
    const { locale, client } = this.context;
    const about = this.#editing ?? this.#reply;
    setAttribute(this.#about, "hidden", !about);
    if (about) {
      const who = about.sender_id === client.userId ? locale.text("you") : about.sender_name;
      const title = this.#editing ? locale.text("editing") : locale.about("replyTo", who);
      const words = h("span", { class: "words" }, summary(this.context, about));
      const close = iconButton(locale.text("cancel"), ICONS.close, () => this.#cancel());
      this.#about.replaceChildren(h("span", { class: "what" }, h("b", {}, title), words), close);
    }
    setAttribute(this.#chip, "hidden", !this.#file);
    if (this.#file) {
      const size = h("span", { class: "file-size" }, locale.size(this.#file.size));
      const remove = iconButton(locale.text("detach"), ICONS.close, () => {
        this.#file = undefined;
        this.#update();
        this.focus();
      });
      this.#chip.replaceChildren(icon(ICONS.file), h("span", { class: "file-name" }, this.#file.name), size, remove);
    }
    const label = locale.text(this.#editing ? "save" : "send");
    setAttribute(this.#send, "aria-label", label);
    setAttribute(this.#send, "title", label);
    this.#send.disabled = this.isEmpty;
    this.#grow();
  }

  #grow(): void {
    const { style } = this.#field;
    if (!this.#field.scrollHeight) return; // not shown yet
    style.height = "auto";
    style.height = `${Math.min(this.#field.scrollHeight, TALLEST)}px`;
  }
}
