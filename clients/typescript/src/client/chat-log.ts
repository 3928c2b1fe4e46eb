import type { ChatMessage, HistoryPage, Reaction } from "./chat-types.js";

/** `applied` · `known`: nothing new · `gap`: something before it is missing, so it was not taken. */
export type Taken = "applied" | "known" | "gap";

/**
 * What is known of one conversation's history: one unbroken piece that ends with its newest message.
 *
 * Every change has a `revision`, without gaps; a change is only taken if it is the next one. So nothing is lost
 * without notice, and nothing is taken twice.
 */
export class ChatLog {
  messages: readonly ChatMessage[] = [];
  /** Everything up to here is known. */
  revision = 0;
  lastSeq = 0;
  hasOlder = false;
  isLoaded = false;
  #isResuming = false;

  /** Begin anew with the newest page. */
  reset(page: HistoryPage): void {
    this.messages = page.results;
    this.revision = page.revision;
    this.lastSeq = page.last_seq;
    this.hasOlder = page.previous !== null;
    this.isLoaded = true;
    this.#isResuming = false;
  }

  /** Put an older page before what is there. */
  prepend(page: HistoryPage): void {
    const oldest = this.messages[0]?.seq ?? Number.POSITIVE_INFINITY;
    this.messages = [...page.results.filter((message) => message.seq < oldest), ...this.messages];
    this.hasOlder = page.previous !== null;
  }

  /** From now until `resumed` comes what was missed: in order, but not revision by revision. */
  resume(): void {
    this.#isResuming = true;
  }

  resumed(lastSeq: number, revision: number): void {
    this.#isResuming = false;
    this.lastSeq = Math.max(this.lastSeq, lastSeq);
    this.revision = Math.max(this.revision, revision);
  }

  /** A new, changed or deleted message. */
  take(message: ChatMessage): Taken {
    return this.#advance(message.revision, () => this.#put(message));
  }

  /** Somebody put a reaction on a message, or took it back (`present` false). */
  react(messageId: string, userId: string, emoji: string, present: boolean, revision: number): Taken {
    return this.#advance(revision, () => {
      const message = this.find(messageId);
      if (!message || message.revision >= revision) return;
      this.#put({ ...message, revision, reactions: reacted(message.reactions, userId, emoji, present) });
    });
  }

  find(messageId: string): ChatMessage | undefined {
    return this.messages.find((message) => message.id === messageId);
  }

  #advance(revision: number, apply: () => void): Taken {
    if (!this.isLoaded || (revision <= this.revision && !this.#isResuming)) return "known";
    if (revision > this.revision + 1 && !this.#isResuming) return "gap";
    apply();
    if (!this.#isResuming) this.revision = revision;
    return "applied";
  }

  #put(message: ChatMessage): void {
    const at = this.messages.findIndex((each) => each.id === message.id);
    if (at >= 0) {
      if ((this.messages[at] as ChatMessage).revision >= message.revision) return;
      this.messages = this.messages.map((each, index) => (index === at ? message : each));
    } else if (message.seq > (this.messages.at(-1)?.seq ?? 0)) {
      this.messages = [...this.messages, message];
    } // Else it is older than what is shown: it comes with its page.
    this.lastSeq = Math.max(this.lastSeq, message.seq);
  }
}

/** Reactions after somebody has put one or taken one back. */
export function reacted(
  reactions: readonly Reaction[],
  userId: string,
  emoji: string,
  present: boolean,
): readonly Reaction[] {
  const before = reactions.find((each) => each.emoji === emoji);
  if ((before?.user_ids.includes(userId) ?? false) === present) return reactions;
  if (!before) return [...reactions, { emoji, count: 1, user_ids: [userId] }];
  const user_ids = present ? [...before.user_ids, userId] : before.user_ids.filter((each) => each !== userId);
  const after = { emoji, count: before.count + (present ? 1 : -1), user_ids };
  return reactions.map((each) => (each === before ? after : each)).filter((each) => each.count > 0);
}
