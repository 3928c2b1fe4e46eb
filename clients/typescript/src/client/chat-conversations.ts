import type { Api } from "./api.js";
import type { ChatMessage, Conversation } from "./chat-types.js";

export const CHAT = "/api/notifications/chat";

/** The conversations of one person, the newest first, as the list shows them. */
export class Conversations {
  all: readonly Conversation[] = [];
  hasLoaded = false;
  readonly #api: Api;
  readonly #onChange: () => void;

  constructor(api: Api, onChange: () => void) {
    this.#api = api;
    this.#onChange = onChange;
  }

  find(id: string): Conversation | undefined {
    return this.all.find((each) => each.id === id);
  }

  /** Load the newest, at most 50. Throws `ApiError`. */
  async load(): Promise<readonly Conversation[]> {
    const { results } = await this.#api.request<{ results: Conversation[] }>("GET", `${CHAT}/conversations/`);
    this.hasLoaded = true;
    this.#set(results);
    return results;
  }

  /** Load one anew. Throws `ApiError`. */
  async fetch(id: string): Promise<Conversation> {
    const found = await this.#api.request<Conversation>("GET", `${CHAT}/conversations/${id}/`);
    this.put(found);
    return found;
  }

  /** The direct conversation with somebody, made if there is none. Throws `ApiError`. */
  async direct(userId: string): Promise<Conversation> {
    const body = { kind: "direct", user_ids: [userId] };
    const made = await this.#api.request<Conversation>("POST", `${CHAT}/conversations/`, { body });
    this.put(made);
    return made;
  }

  put(conversation: Conversation): void {
    const others = this.all.filter((each) => each.id !== conversation.id);
    this.#set([...others, conversation].sort((a, b) => b.active_at.localeCompare(a.active_at)));
  }

  remove(id: string): void {
    this.#set(this.all.filter((each) => each.id !== id));
  }

  /** Something new was said, by us if `isOwn`. False if it was known, or its conversation is not. */
  said(message: ChatMessage, isOwn: boolean): boolean {
    const before = this.find(message.conversation_id);
    if (!before || message.seq <= before.last_seq) return false;
    const last_read_seq = isOwn ? message.seq : before.last_read_seq;
    this.put({
      ...before,
      last_message: message,
      last_seq: message.seq,
      last_read_seq,
      unread_count: message.seq - (last_read_seq ?? message.seq),
      active_at: message.created_at,
    });
    return true;
  }

  /** A message has changed: perhaps it is the one that the list shows. */
  changed(message: ChatMessage): void {
    const conversation = this.find(message.conversation_id);
    if (conversation?.last_message?.id === message.id) this.put({ ...conversation, last_message: message });
  }

  /** We have read up to there. */
  read(id: string, seq: number): void {
    const conversation = this.find(id);
    if (!conversation || (conversation.last_read_seq ?? 0) >= seq) return;
    this.put({ ...conversation, last_read_seq: seq, unread_count: Math.max(0, conversation.last_seq - seq) });
  }

  #set(conversations: readonly Conversation[]): void {
    this.all = conversations;
    this.#onChange();
  }
}
