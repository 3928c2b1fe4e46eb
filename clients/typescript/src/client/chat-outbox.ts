import { ApiError, type Api } from "./api.js";
import type { ChatFile, ChatMessage, Draft, Outgoing } from "./chat-types.js";
import type { Frame } from "./connection.js";

export interface OutboxOptions {
  api: Api;
  /** Whether there is a connection. */
  isOpen(): boolean;
  /** Send a command over the socket; resolves with its answer. Rejects with `ApiError` (status 0: no connection). */
  ask(frame: Frame): Promise<Frame>;
  onChange(conversationId: string): void;
  onSent(message: ChatMessage): void;
}

/** What may go well the next time. */
const PASSING = new Set(["network_error", "throttled", "unavailable", "error"]);
const RETRY_AFTER = 2_000;

/**
 * Messages of ours on their way, each conversation's one after the other. One that got no answer is sent again with
 * the same id, which the service recognises; so it arrives once, however often the connection breaks.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #messages = new Map<string, Outgoing>();
  readonly #files = new Map<string, ChatFile>();
  readonly #busy = new Set<string>();
  readonly #timers = new Set<unknown>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  of(conversationId: string): Outgoing[] {
    return [...this.#messages.values()].filter((each) => each.conversationId === conversationId);
  }

  add(conversationId: string, draft: Draft): Outgoing {
    const { environment } = this.#options.api;
    const createdAt = new Date(environment.now()).toISOString();
    const message: Outgoing = { ...draft, clientMessageId: uniqueId(), conversationId, createdAt, state: "waiting", reason: "" };
    this.#messages.set(message.clientMessageId, message);
    this.#options.onChange(conversationId);
    void this.#send(conversationId);
    return message;
  }

  /** Try one that failed again. */
  retry(clientMessageId: string): void {
    const message = this.#messages.get(clientMessageId);
    if (message?.state !== "failed") return;
    this.#change(message, { state: "waiting", reason: "" });
    void this.#send(message.conversationId);
  }

  /** Give one up: one that failed, or that the conversation has now. */
  remove(clientMessageId: string): void {
    const message = this.#messages.get(clientMessageId);
    if (!message) return;
    this.#messages.delete(clientMessageId);
    this.#files.delete(clientMessageId);
    this.#options.onChange(message.conversationId);
  }

  /** There is a connection (again): send what waits. */
  flush(): void {
    for (const conversationId of new Set([...this.#messages.values()].map((each) => each.conversationId))) {
      void this.#send(conversationId);
    }
  }

  stop(): void {
    for (const timer of this.#timers) this.#options.api.environment.clearTimeout(timer);
    this.#timers.clear();
  }

  async #send(conversationId: string): Promise<void> {
    if (this.#busy.has(conversationId)) return;
    this.#busy.add(conversationId);
    try {
      for (let next = this.#next(conversationId); next && this.#options.isOpen(); next = this.#next(conversationId)) {
        if (!(await this.#sendOne(next))) return;
      }
    } finally {
      this.#busy.delete(conversationId);
    }
  }

  #next(conversationId: string): Outgoing | undefined {
    return this.of(conversationId).find((each) => each.state === "waiting");
  }

  /** Send one; false if there is no use in going on now. */
  async #sendOne(message: Outgoing): Promise<boolean> {
    const sending = this.#change(message, { state: "sending" });
    try {
      const answer = await this.#options.ask(await this.#command(sending));
      this.#options.onSent(answer["message"] as ChatMessage);
      return true;
    } catch (error) {
      const current = this.#messages.get(message.clientMessageId);
      if (!current) return true; // it has arrived all the same
      const refusal = error instanceof ApiError ? error : new ApiError(0, "network_error", String(error));
      if (!PASSING.has(refusal.code)) {
        this.#change(current, { state: "failed", reason: refusal.detail });
        return true;
      }
      this.#change(current, { state: "waiting" });
      this.#later((refusal.retryAfter ?? 0) * 1000 || RETRY_AFTER, message.conversationId);
      return false;
    }
  }

  async #command(message: Outgoing): Promise<Frame> {
    const file = message.file && (await this.#uploaded(message, message.file));
    return {
      type: "send_message",
      conversation_id: message.conversationId,
      client_message_id: message.clientMessageId,
      message_type: file ? (file.content_type.startsWith("image/") ? "image" : "file") : "text",
      text: message.text,
      ...(file && { file_id: file.id }),
      ...(message.replyTo && { reply_to: message.replyTo }),
    };
  }

  /** The file at the service, uploaded once. */
  async #uploaded({ clientMessageId, conversationId }: Outgoing, file: File): Promise<ChatFile> {
    const before = this.#files.get(clientMessageId);
    if (before) return before;
    const body = new FormData();
    body.append("conversation_id", conversationId);
    body.append("file", file, file.name);
    const uploaded = await this.#options.api.request<ChatFile>("POST", "/api/notifications/chat/upload/", { body });
    this.#files.set(clientMessageId, uploaded);
    return uploaded;
  }

  #change(message: Outgoing, changes: Partial<Outgoing>): Outgoing {
    const changed = { ...message, ...changes };
    this.#messages.set(message.clientMessageId, changed);
    this.#options.onChange(message.conversationId);
    return changed;
  }

  #later(milliseconds: number, conversationId: string): void {
    const timer = this.#options.api.environment.setTimeout(() => {
      this.#timers.delete(timer);
      void this.#send(conversationId);
    }, milliseconds);
    this.#timers.add(timer);
  }
}

function uniqueId(): string {
  // randomUUID is there on secure pages alone; this is as good.
  const octets = crypto.getRandomValues(new Uint8Array(16));
  return [...octets].map((octet) => octet.toString(16).padStart(2, "0")).join("");
}
