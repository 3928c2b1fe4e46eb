import type { ChatFile, ChatMessage, Outgoing } from "../client/index.js";
import {
  avatar,
  h,
  icon,
  iconButton,
  ICONS,
  isEmoji,
  linked,
  nameOf,
  safeLink,
  WEB,
  setAttribute,
  summary,
  type Context,
} from "./parts.js";

export const EMOJI = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];

/** What can be done with messages. */
export interface Actions {
  reply(message: ChatMessage): void;
  edit(message: ChatMessage): void;
  remove(message: ChatMessage): void;
  react(message: ChatMessage, emoji: string, present: boolean): void;
  jump(messageId: string): void;
  retry(clientMessageId: string): void;
  discard(clientMessageId: string): void;
  fetch(file: ChatFile): void;
}

/** A message as it is to be drawn. */
export interface Shown {
  readonly key: string;
  readonly message: ChatMessage | undefined;
  readonly outgoing: Outgoing | undefined;
  readonly isOwn: boolean;
  /** The first of several of one person. */
  readonly isFirst: boolean;
  readonly isGroup: boolean;
  readonly isRead: boolean;
  readonly replied: ChatMessage | undefined;
  readonly mayDelete: boolean;
}

/** What a drawing depends on: while it is the same there is nothing to draw anew. */
export function signature({ message, outgoing, isFirst, isRead, replied, mayDelete }: Shown): string {
  return [message?.revision, outgoing?.state, outgoing?.reason, isFirst, isRead, replied?.revision, mayDelete].join("|");
}

/** Draw a message. */
export function drawMessage(context: Context, shown: Shown, actions: Actions): HTMLElement {
  const { message, outgoing, isOwn, isFirst, isGroup } = shown;
  const { locale } = context;
  const isDeleted = !!message?.deleted_at;
  const name = isOwn ? locale.text("you") : nameOf(context, message?.conversation_id ?? "", message?.sender_id ?? null, message?.sender_name);
  const text = message?.text ?? outgoing?.text ?? "";
  const bubble = h(
    "div",
    { class: "bubble" },
    h("span", { class: "only-heard" }, isOwn ? locale.text("youSaid") : locale.about("said", name)),
    isGroup && isFirst && !isOwn && h("span", { class: "name", "aria-hidden": "true" }, name),
    ((message?.reply_to && !isDeleted) || outgoing?.replyTo) && quote(context, shown, actions),
    isDeleted ? h("p", { class: "text" }, locale.text("deleted")) : attachment(context, shown, actions),
    !isDeleted && !!text && h("p", { class: "text", dir: "auto" }, ...linked(text)),
    meta(context, shown),
  );
  const classes = ["message", isOwn && "own", isFirst && "first", isDeleted && "deleted"];
  if (outgoing) classes.push(outgoing.state);
  if (!isDeleted && isEmoji(text) && !message?.file && !outgoing?.file) classes.push("emoji");
  if (message?.message_type === "image" || outgoing?.file?.type.startsWith("image/")) classes.push("with-picture");
  const article = h(
    "article",
    { class: classes.filter(Boolean).join(" "), tabindex: "-1", "data-id": message?.id },
    isGroup && !isOwn && h("span", { class: "side" }, isFirst && avatar(name)),
    h(
      "div",
      { class: "stack" },
      bubble,
      message && !isDeleted && message.reactions.length > 0 && reactions(context, message, actions),
      outgoing?.state === "failed" && failure(context, outgoing, actions),
    ),
  );
  if (outgoing?.state !== "failed") setReachable(article, false);
  return article;
}

/** Whether the tab key stops at what is in a message: only in the one that the arrow keys are at. */
export function setReachable(article: HTMLElement, isReachable: boolean): void {
  for (const each of article.querySelectorAll<HTMLElement>("a, button")) each.tabIndex = isReachable ? 0 : -1;
}

/** The buttons beside a message that the pointer or the focus is on. */
export function drawTools({ locale, client }: Context, { message, isOwn, mayDelete }: Shown, actions: Actions): HTMLElement | undefined {
  if (!message || message.deleted_at || message.message_type === "system") return undefined;
  const tools = h("div", { class: "tools", role: "toolbar", "aria-label": locale.text("actions") });
  const mine = (emoji: string): boolean =>
    !!message.reactions.find((each) => each.emoji === emoji)?.user_ids.includes(client.userId);
  const choose = (): void => {
    tools.classList.add("choosing");
    const buttons = EMOJI.map((emoji) => {
      const onclick = (): void => actions.react(message, emoji, !mine(emoji));
      const label = locale.about("reactWith", emoji);
      return h("button", { type: "button", "aria-label": label, "aria-pressed": String(mine(emoji)), onclick }, emoji);
    });
    tools.replaceChildren(...buttons);
    buttons[0]?.focus();
  };
  const confirm = (): void => {
    const yes = h("button", { type: "button", class: "sure", onclick: () => actions.remove(message) }, locale.text("reallyDelete"));
    tools.replaceChildren(yes);
    yes.focus();
  };
  tools.append(iconButton(locale.text("react"), ICONS.smile, choose, { "data-action": "react" }));
  tools.append(iconButton(locale.text("reply"), ICONS.reply, () => actions.reply(message), { "data-action": "reply" }));
  if (isOwn) tools.append(iconButton(locale.text("edit"), ICONS.edit, () => actions.edit(message), { "data-action": "edit" }));
  if (mayDelete) tools.append(iconButton(locale.text("delete"), ICONS.delete, confirm, { "data-action": "delete" }));
  return tools;
}

/** What the service itself says. */
export function drawSystem(message: ChatMessage): HTMLElement {
  return h("p", { class: "system", "data-id": message.id }, message.text);
}

function quote(context: Context, { message, outgoing, replied }: Shown, actions: Actions): HTMLElement {
  const { locale, client } = context;
  const id = message?.reply_to ?? outgoing?.replyTo ?? "";
  const who = !replied ? "" : replied.sender_id === client.userId ? locale.text("you") : replied.sender_name;
  const words = !replied ? locale.text("earlier") : replied.deleted_at ? locale.text("deletedReply") : summary(context, replied);
  const attributes = { type: "button", class: "quote", onclick: () => actions.jump(id) };
  return h("button", attributes, !!who && h("b", {}, who), h("span", {}, words));
}

function attachment(context: Context, { message, outgoing }: Shown, actions: Actions): HTMLElement | undefined {
  const { locale, client } = context;
  if (outgoing?.file) return fileRow(outgoing.file.name, locale.size(outgoing.file.size));
  const file = message?.file;
  if (!file) return undefined;
  const open = (): void => actions.fetch(file);
  if (message.message_type !== "image") {
    const row = fileRow(file.name, locale.size(file.size));
    const label = locale.about("download", file.name);
    return h("button", { type: "button", class: "file-button", "aria-label": label, title: label, onclick: open }, row);
  }
  const picture = h("img", { alt: "", width: file.width, height: file.height, loading: "lazy", decoding: "async" });
  client.fileAddress(file).then(
    (address) => setAttribute(picture, "src", safeLink(address, WEB)),
    () => picture.replaceWith(fileRow(file.name, locale.size(file.size))),
  );
  const label = locale.about("picture", file.name);
  return h("button", { type: "button", class: "picture", "aria-label": label, onclick: open }, picture);
}

function fileRow(name: string, size: string): HTMLElement {
  return h("span", { class: "file" }, icon(ICONS.file), h("span", { class: "file-name" }, name), h("span", { class: "file-size" }, size));
}

function meta({ locale }: Context, { message, outgoing, isOwn, isRead }: Shown): HTMLElement {
  const moment = message?.created_at ?? outgoing?.createdAt ?? "";
  const line = h("span", { class: "meta" });
  if (message?.edited_at && !message.deleted_at) line.append(h("span", {}, locale.text("edited")));
  line.append(h("time", { datetime: moment, title: locale.moment(new Date(moment)) }, locale.time(moment)));
  if (!isOwn || message?.deleted_at) return line;
  const state = message ? (isRead ? "read" : "sent") : (outgoing?.state ?? "waiting");
  const label = locale.text(state === "failed" ? "failed" : state);
  const drawing = state === "sending" ? ICONS.waiting : state === "failed" ? ICONS.warning : ICONS[state];
  line.append(h("span", { class: "tick", "data-state": state, role: "img", "aria-label": label, title: label }, icon(drawing)));
  return line;
}

function reactions(context: Context, message: ChatMessage, actions: Actions): HTMLElement {
  const { client } = context;
  const buttons = message.reactions.map(({ emoji, count, user_ids }) => {
    const isMine = user_ids.includes(client.userId);
    const names = user_ids.map((id) => (id === client.userId ? context.locale.text("you") : nameOf(context, message.conversation_id, id)));
    const attributes = {
      type: "button",
      "aria-pressed": String(isMine),
      "aria-label": `${emoji} ${count}: ${names.join(", ")}`,
      title: names.join(", "),
      onclick: () => actions.react(message, emoji, !isMine),
    };
    return h("button", attributes, emoji, h("span", {}, String(count)));
  });
  return h("div", { class: "reactions" }, ...buttons);
}

function failure({ locale }: Context, { clientMessageId, reason }: Outgoing, actions: Actions): HTMLElement {
  return h(
    "div",
    { class: "failure" },
    h("span", {}, `${locale.text("failed")} ${reason}`),
    h("button", { type: "button", onclick: () => actions.retry(clientMessageId) }, locale.text("retry")),
    h("button", { type: "button", onclick: () => actions.discard(clientMessageId) }, locale.text("discard")),
  );
}
