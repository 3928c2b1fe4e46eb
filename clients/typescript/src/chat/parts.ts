import { ApiError, type ChatClient, type ChatMessage, type Conversation, type Participant } from "../client/index.js";
import { arrange, h, icon, safeLink, setAttribute, WEB } from "../ui/dom.js";
import { ICONS } from "./icons.js";
import type { ChatLocale } from "./texts.js";

/** What every part of the component needs. */
export interface Context {
  readonly client: ChatClient;
  readonly locale: ChatLocale;
}

/** The others of a conversation. */
export function others({ client }: Context, id: string): Participant[] {
  return client.participants(id).filter((each) => each.user_id !== client.userId);
}

/** The title, or who it is with. */
export function titleOf(context: Context, conversation: Conversation): string {
  if (conversation.title) return conversation.title;
  const names = others(context, conversation.id).map((each) => each.name || each.user_id);
  return names.join(", ") || context.locale.text("somebody");
}

/** How somebody is called in a conversation. */
export function nameOf({ client, locale }: Context, id: string, userId: string | null, known = ""): string {
  if (known) return known;
  return client.participants(id).find((each) => each.user_id === userId)?.name || locale.text("somebody");
}

/** A message in one line, for lists and quotes. */
export function summary({ locale }: Context, message: ChatMessage): string {
  if (message.deleted_at) return locale.text("deleted");
  if (message.text) return message.text;
  return message.message_type === "image" ? locale.text("photo") : (message.file?.name ?? locale.text("file"));
}

/** A disc with initials; always the same colour for the same name. */
export function avatar(name: string): HTMLElement {
  const words = name.split(/\s+/).filter(Boolean);
  const initials = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("");
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 360;
  const disc = h("span", { class: "avatar", "aria-hidden": "true" }, initials.toUpperCase() || "?");
  disc.style.setProperty("--hue", String(hash));
  return disc;
}

/** A button that shows a drawing and says what it does. */
export function iconButton(label: string, path: string, onclick: () => void, attributes: Record<string, string> = {}): HTMLButtonElement {
  return h("button", { type: "button", "aria-label": label, title: label, onclick, ...attributes }, icon(path));
}

/** Text with its web addresses as links, and nothing else of it as markup. */
export function linked(text: string): (Node | string)[] {
  return text.split(/(\bhttps?:\/\/[^\s<>"]+[^\s<>"'.,;:!?)\]}])/u).map((part, index) => {
    const address = index % 2 ? safeLink(part, WEB) : undefined;
    return address ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, part) : part;
  });
}

/** Whether a text is nothing but one to three emoji. */
export function isEmoji(text: string): boolean {
  return /^(?:\p{Extended_Pictographic}(?:[\u200d\ufe0f]|\p{Extended_Pictographic}|\p{Emoji_Modifier})*\s?){1,3}$/u.test(text) && [...text].length < 16;
}

/** What to tell people of an error; the service's own words, where it gave some. */
export function reasonOf(error: unknown): string {
  return error instanceof ApiError ? error.detail : error instanceof Error ? error.message : String(error);
}

/** Set a text if it is another one. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A notice in the middle of an empty pane. */
export function notice(path: string, title: string, hint = "", action?: HTMLElement): HTMLElement {
  return h("div", { class: "notice" }, icon(path), h("p", { class: "notice-title" }, title), hint && h("p", {}, hint), action);
}

export { arrange, h, icon, ICONS, safeLink, setAttribute, WEB };
