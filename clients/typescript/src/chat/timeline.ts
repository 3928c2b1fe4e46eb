import type { ChatMessage } from "../client/index.js";
import type { Shown } from "./message.js";
import type { Context } from "./parts.js";

/** What stands in a conversation, from top to bottom: messages, days, and where the new ones begin. */
export type Entry =
  | { readonly kind: "message"; readonly key: string; readonly shown: Shown }
  | { readonly kind: "day" | "fresh"; readonly key: string; readonly text: string };

/** Messages of one person within so many milliseconds stand together. */
const TOGETHER = 5 * 60_000;

/** Arrange the messages of a conversation. `freshFrom` is the number of the first unread one, when it was opened. */
export function grouped(context: Context, id: string, freshFrom: number): Entry[] {
  const { client, locale } = context;
  const log = client.log(id);
  const conversation = client.conversation(id);
  const isGroup = conversation?.kind !== "direct";
  const mayDelete = conversation?.role === "admin" || conversation?.role === "moderator";
  const readSeq = Math.min(
    ...client.participants(id).filter((each) => each.user_id !== client.userId).map((each) => each.last_read_seq),
  );
  const byId = new Map(log.messages.map((message) => [message.id, message]));
  const entries: Entry[] = [];
  let [day, sender, at, hasFresh] = ["", "", 0, false];

  const put = (key: string, from: string, moment: string, shown: Omit<Shown, "key" | "isFirst" | "isGroup">): void => {
    const today = locale.day(moment);
    const time = Date.parse(moment);
    if (today !== day) entries.push({ kind: "day", key: `day-${today}`, text: today });
    const isFirst = from !== sender || time - at > TOGETHER || today !== day;
    [day, sender, at] = [today, from, time];
    entries.push({ kind: "message", key, shown: { ...shown, key, isFirst, isGroup } });
  };

  for (const message of log.messages) {
    const isOwn = message.sender_id === client.userId;
    if (!hasFresh && message.seq >= freshFrom && !isOwn) {
      hasFresh = true;
      entries.push({ kind: "fresh", key: "fresh", text: locale.text("fresh") });
      sender = "";
    }
    put(keyOf(message), message.sender_id ?? `system-${message.seq}`, message.created_at, {
      message,
      outgoing: undefined,
      isOwn,
      isRead: isOwn && Number.isFinite(readSeq) && readSeq >= message.seq,
      replied: message.reply_to ? byId.get(message.reply_to) : undefined,
      mayDelete: isOwn || mayDelete,
    });
  }
  for (const outgoing of client.outgoing(id)) {
    put(`${client.userId}-${outgoing.clientMessageId}`, client.userId, outgoing.createdAt, {
      message: undefined,
      outgoing,
      isOwn: true,
      isRead: false,
      replied: outgoing.replyTo ? byId.get(outgoing.replyTo) : undefined,
      mayDelete: false,
    });
  }
  return entries;
}

/** The same for a message on its way and when it has arrived. */
function keyOf(message: ChatMessage): string {
  return `${message.sender_id ?? "system"}-${message.client_message_id || message.id}`;
}
